// Checks and layouts that the CPU and CUDA operators share.
#pragma once

#include <ATen/Dispatch.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

#include <array>
#include <initializer_list>

namespace mmtad {

inline void check_same(const at::Tensor& x, const at::Tensor& like, const char* op) {
  TORCH_CHECK(
      x.sizes() == like.sizes() && x.scalar_type() == like.scalar_type() && x.device() == like.device(), op,
      ": expected tensors of one shape, dtype and device, got ", like.sizes(), " ", like.scalar_type(), " ",
      like.device(), " and ", x.sizes(), " ", x.scalar_type(), " ", x.device());
}

// Tensors of one shape, dtype and device, with so many dimensions. `layout`: their names.
inline void check_layout(
    const at::Tensor& x, int64_t dims, const char* layout, std::initializer_list<const at::Tensor*> others,
    const char* op) {
  TORCH_CHECK(x.dim() == dims, op, ": expected ", layout, ", got ", x.sizes());
  for (const at::Tensor* other : others) check_same(*other, x, op);
}

inline void check_heads(const at::Tensor& x, std::initializer_list<const at::Tensor*> others, const char* op) {
  check_layout(x, 4, "(N, H, T, D)", others, op);
}

inline void check_sequences(const at::Tensor& x, std::initializer_list<const at::Tensor*> others, const char* op) {
  check_layout(x, 3, "(N, C, T)", others, op);
}

// The mask as contiguous (N, T), or nothing.
inline std::optional<at::Tensor> check_mask(
    const std::optional<at::Tensor>& mask, const at::Tensor& like, int64_t steps, const char* op) {
  if (!mask.has_value()) return std::nullopt;
  TORCH_CHECK(mask->scalar_type() == at::kBool, op, ": the mask must be bool, got ", mask->scalar_type());
  TORCH_CHECK(
      mask->dim() == 2 && mask->size(0) == like.size(0) && mask->size(1) == steps, op, ": the mask must have shape [",
      like.size(0), ", ", steps, "], got ", mask->sizes());
  TORCH_CHECK(mask->device() == like.device(), op, ": the mask is on ", mask->device(), ", not ", like.device());
  return mask->contiguous();
}

// Steps on each side of a window, at most those that a sequence has.
inline int64_t window_radius(int64_t window, int64_t steps, const char* op) {
  TORCH_CHECK(window >= 1 && window % 2 == 1, op, ": the window must be odd and positive, got ", window);
  return std::max<int64_t>(std::min(window / 2, steps - 1), 0);
}

// What sums are kept in.
inline at::ScalarType compute_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

inline void check_lse(const at::Tensor& lse, const at::Tensor& query, const char* op) {
  TORCH_CHECK(
      lse.dim() == 3 && lse.sizes() == query.sizes().slice(0, 3) && lse.scalar_type() == compute_type(query) &&
          lse.device() == query.device(),
      op, ": lse must be what the forward returned, of shape ", query.sizes().slice(0, 3), " and ", compute_type(query),
      ", got ", lse.sizes(), " ", lse.scalar_type(), " on ", lse.device());
}

// Which gradients a backward pass computes, in the order of the forward's tensors.
using Needs = std::array<bool, 3>;

// Memory for a gradient of x, by default with its strides; without elements where nobody needs it.
inline at::Tensor empty_gradient(
    const at::Tensor& x, bool needed, at::MemoryFormat format = at::MemoryFormat::Preserve) {
  return needed ? at::empty_like(x, format) : at::empty({0}, x.options());
}

}  // namespace mmtad
