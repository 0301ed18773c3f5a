#include "cuda/launch.h"
#include "cuda/local_attentive_fusion_kernels.cuh"
#include "cuda/operators.h"

namespace mmtad {
namespace {

using at::Tensor;

constexpr char kOp[] = "local_attentive_fusion";

// The kernels read consecutive steps.
Tensor with_rows(const Tensor& x) { return x.stride(2) == 1 ? x : x.contiguous(); }

template <typename scalar>
cuda::Rows<scalar> rows_of(const Tensor& x) {
  return {static_cast<const scalar*>(x.const_data_ptr()), x.stride(0), x.stride(1)};
}

// (N, T) counts of the valid steps in each valid step's window.
Tensor window_counts(const Tensor& mask, int64_t radius) {
  Tensor counts = at::empty(mask.sizes(), mask.options().dtype(at::kInt));
  constexpr int64_t kSums = 2 * cuda::kFusionThreads / cuda::kWarp * sizeof(double);
  cuda::launch(
      cuda::window_counts_kernel, mask.size(0), cuda::kFusionThreads, kSums, kOp, mask.const_data_ptr<bool>(),
      counts.mutable_data_ptr<int>(), int(mask.size(1)), int(radius));
  return counts;
}

// The operators' arguments, checked, and what both passes set up.
struct Call {
  c10::cuda::CUDAGuard guard;
  Tensor value, query, key, grad, counts, scratch;
  std::optional<Tensor> mask;
  int64_t radius;
  bool global, residual;  // `global`: every window holds the whole sequence.

  Call(
      const Tensor& value_, const Tensor& query_, const Tensor& key_, const std::optional<Tensor>& mask_,
      std::optional<int64_t> window, bool residual)
      : guard(value_.device()), residual(residual) {
    check_sequences(value_, {&query_, &key_}, kOp);
    const int64_t steps = value_.size(2);
    TORCH_CHECK(steps < (1 << 30), kOp, ": too many steps: ", steps);
    mask = check_mask(mask_, value_, steps, kOp);
    radius = window_radius(window.value_or(2 * steps + 1), steps, kOp);
    global = radius >= steps - 1;
    value = with_rows(value_);
    query = with_rows(query_);
    key = with_rows(key_);
  }

  // `set_outputs(args)` adds the pass's own pointers.
  template <typename scalar, typename SetOutputs>
  void run(
      void (*fast)(cuda::FusionArgs<scalar>), void (*general)(cuda::FusionArgs<scalar>), bool backward,
      SetOutputs set_outputs) {
    using acc = cuda::acc_of<scalar>;
    cuda::FusionArgs<scalar> args{};
    args.rows = value.size(0) * value.size(1);
    args.channels = int(value.size(1));
    args.steps = int(value.size(2));
    args.radius = int(radius);
    args.residual = residual;
    args.mask = mask ? mask->const_data_ptr<bool>() : nullptr;
    args.value = rows_of<scalar>(value);
    args.query = rows_of<scalar>(query);
    args.key = rows_of<scalar>(key);
    if (grad.defined()) args.grad = rows_of<scalar>(grad);
    const auto plan = cuda::plan_fusion(
        args,
        global     ? 0
        : backward ? 2
                   : 1,
        cuda::device_attribute(cudaDevAttrMultiProcessorCount),
        cuda::device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin));
    if (mask && !global) {
      counts = window_counts(*mask, radius);
      args.counts = counts.const_data_ptr<int>();
    }
    if (backward && !global && !args.shared_rows) {
      scratch = at::empty(value.sizes(), value.options().dtype(compute_type(value)));
      args.scratch = scratch.mutable_data_ptr<acc>();
    }
    set_outputs(args);
    cuda::launch(plan.fast ? fast : general, plan.blocks, plan.threads, plan.shared_bytes, kOp, args);
  }
};

template <typename scalar>
scalar* pointer(const Tensor& x) {
  return static_cast<scalar*>(x.mutable_data_ptr());
}

}  // namespace

Tensor cuda::local_attentive_fusion(
    const Tensor& value, const Tensor& query, const Tensor& key, const std::optional<Tensor>& mask,
    std::optional<int64_t> window, bool residual) {
  Call call(value, query, key, mask, window, residual);
  Tensor out = at::empty(value.sizes(), value.options());
  if (value.numel() == 0) return out;
  cuda::dispatch(value, kOp, [&](auto element) {
    using scalar = decltype(element);
    const auto outputs = [&](auto& args) { args.out = pointer<scalar>(out); };
    if (call.global)
      call.run<scalar>(
          cuda::global_fusion_kernel<scalar, true>, cuda::global_fusion_kernel<scalar, false>, false, outputs);
    else
      call.run<scalar>(
          cuda::local_fusion_kernel<scalar, true>, cuda::local_fusion_kernel<scalar, false>, false, outputs);
  });
  return out;
}

std::tuple<Tensor, Tensor, Tensor> cuda::local_attentive_fusion_backward(
    const Tensor& grad, const Tensor& value, const Tensor& query, const Tensor& key, const std::optional<Tensor>& mask,
    std::optional<int64_t> window, bool residual, Needs needs) {
  Call call(value, query, key, mask, window, residual);
  check_same(grad, value, kOp);
  constexpr auto kDense = at::MemoryFormat::Contiguous;
  Tensor grad_value = empty_gradient(value, needs[0], kDense), grad_query = empty_gradient(value, needs[1], kDense),
         grad_key = empty_gradient(value, needs[2], kDense);
  if (value.numel() == 0) return {grad_value, grad_query, grad_key};
  call.grad = with_rows(grad);
  cuda::dispatch(value, kOp, [&](auto element) {
    using scalar = decltype(element);
    const auto outputs = [&](auto& args) {
      if (needs[0]) args.grad_value = pointer<scalar>(grad_value);
      if (needs[1]) args.grad_query = pointer<scalar>(grad_query);
      if (needs[2]) args.grad_key = pointer<scalar>(grad_key);
    };
    if (call.global)
      call.run<scalar>(
          cuda::global_fusion_backward_kernel<scalar, true>, cuda::global_fusion_backward_kernel<scalar, false>, true,
          outputs);
    else
      call.run<scalar>(
          cuda::local_fusion_backward_kernel<scalar, true>, cuda::local_fusion_backward_kernel<scalar, false>, true,
          outputs);
  });
  return {grad_value, grad_query, grad_key};
}

}  // namespace mmtad
