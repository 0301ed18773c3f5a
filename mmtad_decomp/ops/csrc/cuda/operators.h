// The operators on CUDA. Registered in registration.cpp: nvcc would parse torch/library.h four times.
#pragma once

#include "common/checks.h"

namespace mmtad {
namespace cuda {

std::tuple<at::Tensor, at::Tensor> local_attention(
    const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const std::optional<at::Tensor>& mask,
    int64_t window);

std::tuple<at::Tensor, at::Tensor, at::Tensor> local_attention_backward(
    const at::Tensor& grad, const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
    const std::optional<at::Tensor>& mask, const at::Tensor& lse, int64_t window, Needs needs);

at::Tensor local_attentive_fusion(
    const at::Tensor& value, const at::Tensor& query, const at::Tensor& key, const std::optional<at::Tensor>& mask,
    std::optional<int64_t> window, bool residual);

std::tuple<at::Tensor, at::Tensor, at::Tensor> local_attentive_fusion_backward(
    const at::Tensor& grad, const at::Tensor& value, const at::Tensor& query, const at::Tensor& key,
    const std::optional<at::Tensor>& mask, std::optional<int64_t> window, bool residual, Needs needs);

}  // namespace cuda
}  // namespace mmtad
