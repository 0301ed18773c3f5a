#include <torch/library.h>

#include "common/checks.h"
#include "cpu/parallel.h"

namespace mmtad {
namespace {

constexpr char kOp[] = "local_attentive_fusion";

// (N, T): 1 / the number of valid steps in the window around a valid step, 0 at masked steps.
at::Tensor inverse_counts(
    const std::optional<at::Tensor>& mask, int64_t batch, int64_t steps, int64_t radius, at::ScalarType dtype) {
  at::Tensor out = at::empty({batch, steps}, at::dtype(dtype));
  const bool* valid = mask ? mask->const_data_ptr<bool>() : nullptr;
  AT_DISPATCH_FLOATING_TYPES(dtype, kOp, [&] {
    scalar_t* row = out.mutable_data_ptr<scalar_t>();
    for (int64_t n = 0; n < batch; ++n, row += steps, valid += valid ? steps : 0) {
      const auto one = [&](int64_t t) { return valid == nullptr || valid[t] ? 1 : 0; };
      int64_t count = 0;
      for (int64_t t = 0; t < std::min(radius, steps); ++t) count += one(t);
      for (int64_t t = 0; t < steps; ++t) {
        if (t + radius < steps) count += one(t + radius);
        row[t] = one(t) ? scalar_t(1) / scalar_t(count) : scalar_t(0);
        if (t >= radius) count -= one(t - radius);
      }
    }
  });
  return out;
}

struct Call {
  FusionArgs args{};
  at::Tensor value, query, key, inverse;
  int64_t rows;

  Call(
      const at::Tensor& value_, const at::Tensor& query_, const at::Tensor& key_,
      const std::optional<at::Tensor>& mask_, std::optional<int64_t> window, bool residual) {
    check_sequences(value_, {&query_, &key_}, kOp);
    const int64_t steps = value_.size(2);
    const auto mask = check_mask(mask_, value_, steps, kOp);
    value = value_.contiguous();
    query = query_.contiguous();
    key = key_.contiguous();
    rows = value.size(0) * value.size(1);
    args.dtype = dtype_of(value);
    args.channels = value.size(1);
    args.steps = steps;
    args.radius = window_radius(window.value_or(2 * steps + 1), steps, kOp);
    args.residual = residual;
    inverse = inverse_counts(mask, value.size(0), steps, args.radius, compute_type(value));
    args.inverse = inverse.const_data_ptr();
    args.value = value.const_data_ptr();
    args.query = query.const_data_ptr();
    args.key = key.const_data_ptr();
  }

  template <typename F>
  void run(F kernel) const {
    if (value.numel() == 0) return;
    const int64_t grain = std::max<int64_t>((1 << 14) / args.steps, 1);
    parallel_with_scratch(rows, grain, kernels().fusion_scratch(args), [&](int64_t begin, int64_t end, void* scratch) {
      kernel(args, begin, end, scratch);
    });
  }
};

at::Tensor local_attentive_fusion(
    const at::Tensor& value, const at::Tensor& query, const at::Tensor& key, const std::optional<at::Tensor>& mask,
    std::optional<int64_t> window, bool residual) {
  Call call(value, query, key, mask, window, residual);
  at::Tensor out = at::empty(value.sizes(), value.options());
  call.args.out = out.data_ptr();
  call.run(kernels().fusion_forward);
  return out;
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> local_attentive_fusion_backward(
    const at::Tensor& grad_, const at::Tensor& value, const at::Tensor& query, const at::Tensor& key,
    const std::optional<at::Tensor>& mask, std::optional<int64_t> window, bool residual, Needs needs) {
  Call call(value, query, key, mask, window, residual);
  check_same(grad_, value, kOp);
  const at::Tensor grad = grad_.contiguous();
  constexpr auto kDense = at::MemoryFormat::Contiguous;
  at::Tensor grad_value = empty_gradient(value, needs[0], kDense), grad_query = empty_gradient(value, needs[1], kDense),
             grad_key = empty_gradient(value, needs[2], kDense);
  call.args.grad = grad.const_data_ptr();
  call.args.grad_value = needs[0] ? grad_value.data_ptr() : nullptr;
  call.args.grad_query = needs[1] ? grad_query.data_ptr() : nullptr;
  call.args.grad_key = needs[2] ? grad_key.data_ptr() : nullptr;
  call.run(kernels().fusion_backward);
  return {grad_value, grad_query, grad_key};
}

}  // namespace

TORCH_LIBRARY_IMPL(mmtad_decomp, CPU, m) {
  m.impl("local_attentive_fusion", local_attentive_fusion);
  m.impl("local_attentive_fusion_backward", local_attentive_fusion_backward);
}

}  // namespace mmtad
