#include <ATen/ops/arange.h>
#include <c10/cuda/CUDAGraphsC10Utils.h>

#include "cuda/first_use.h"
#include "cuda/launch.h"
#include "cuda/local_attention_choice.cuh"
#include "cuda/operators.h"

namespace mmtad {
namespace {

using at::Tensor;

// The kernels read and write consecutive channels or consecutive steps.
Tensor readable(const Tensor& x, bool used = true) {
  return !used || x.stride(3) == 1 || x.stride(2) == 1 ? x : x.contiguous();
}

template <typename scalar>
cuda::TypedHeads<const scalar> heads_of(const Tensor& x) {
  return {static_cast<const scalar*>(x.const_data_ptr()), x.stride(0), x.stride(1), x.stride(2), x.stride(3)};
}

template <typename scalar>
cuda::TypedHeads<scalar> written_heads(const Tensor& x) {
  return {static_cast<scalar*>(x.mutable_data_ptr()), x.stride(0), x.stride(1), x.stride(2), x.stride(3)};
}

void check(const Tensor& query, std::initializer_list<const Tensor*> others, const char* op) {
  check_heads(query, others, op);
  TORCH_CHECK(
      query.size(3) <= cuda::kMaxDims, op, ": on CUDA a head has at most ", cuda::kMaxDims, " channels, got ",
      query.size(3), ". Use more heads, or call it under mmtad_decomp.ops.plain_pytorch().");
  TORCH_CHECK(query.size(2) < (1 << 30), op, ": too many steps: ", query.size(2));
}

// What does not depend on the kernel.
template <typename scalar>
cuda::AttentionArgs<scalar> common_args(const Tensor& query, const std::optional<Tensor>& mask, int64_t radius) {
  cuda::AttentionArgs<scalar> args{};
  args.mask = mask ? mask->const_data_ptr<bool>() : nullptr;
  args.heads = int(query.size(1));
  args.steps = int(query.size(2));
  args.dims = int(query.size(3));
  args.radius = int(radius);
  args.scale = cuda::acc_of<scalar>(1 / std::sqrt(double(query.size(3))));
  return args;
}

// Calls call(layout) with the smallest layout that holds the channels.
template <typename scalar, typename Call>
void for_layout(int64_t dims, Call call) {
  if (dims <= 32) return call(cuda::AttentionLayout<scalar, 32>());
  if (dims <= 64) return call(cuda::AttentionLayout<scalar, 64>());
  if (dims <= 128) return call(cuda::AttentionLayout<scalar, 128>());
  call(cuda::AttentionLayout<scalar, 256>());
}

template <typename Layout, typename scalar>
void run(cuda::AttentionPass pass, cuda::AttentionArgs<scalar> args, int64_t batch, bool tensor_cores, const char* op) {
  const int64_t limit = cuda::device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
  const auto choice = cuda::choose_attention<scalar, Layout::kDims>(args, pass, tensor_cores, limit);
  cuda::launch(choice.kernel, batch * args.heads * args.tiles, cuda::kAttentionThreads, choice.shared_bytes, op, args);
}

std::tuple<Tensor, Tensor> forward(
    const Tensor& query_, const Tensor& key_, const Tensor& value_, const std::optional<Tensor>& mask_, int64_t window,
    bool tensor_cores) {
  const char* op = "local_attention";
  check(query_, {&key_, &value_}, op);
  const c10::cuda::CUDAGuard guard(query_.device());
  const auto mask = check_mask(mask_, query_, query_.size(2), op);
  const int64_t radius = window_radius(window, query_.size(2), op);
  Tensor out = at::empty_like(query_);
  Tensor lse =
      at::empty({query_.size(0), query_.size(1), query_.size(2)}, query_.options().dtype(compute_type(query_)));
  if (query_.numel() == 0) return {out, lse.fill_(std::numeric_limits<double>::infinity())};
  const Tensor query = readable(query_), key = readable(key_), value = readable(value_);
  const Tensor written = readable(out);
  cuda::dispatch(query, op, [&](auto element) {
    using scalar = decltype(element);
    auto args = common_args<scalar>(query, mask, radius);
    args.query = heads_of<scalar>(query);
    args.key = heads_of<scalar>(key);
    args.value = heads_of<scalar>(value);
    args.out = written_heads<scalar>(written);
    args.lse = lse.mutable_data_ptr<cuda::acc_of<scalar>>();
    for_layout<scalar>(query.size(3), [&](auto layout) {
      using Layout = decltype(layout);
      run<Layout>(cuda::AttentionPass::kForward, args, query.size(0), tensor_cores, op);
    });
  });
  if (!written.is_same(out)) out.copy_(written);
  return {out, lse};
}

std::tuple<Tensor, Tensor, Tensor> backward(
    const Tensor& grad_, const Tensor& query_, const Tensor& key_, const Tensor& value_,
    const std::optional<Tensor>& mask_, const Tensor& lse_, int64_t window, Needs needs, bool tensor_cores) {
  const char* op = "local_attention_backward";
  check(query_, {&grad_, &key_, &value_}, op);
  check_lse(lse_, query_, op);
  const c10::cuda::CUDAGuard guard(query_.device());
  const auto mask = check_mask(mask_, query_, query_.size(2), op);
  const int64_t radius = window_radius(window, query_.size(2), op);
  Tensor grad_query = empty_gradient(query_, needs[0]), grad_key = empty_gradient(key_, needs[1]),
         grad_value = empty_gradient(value_, needs[2]);
  if (query_.numel() == 0) return {grad_query, grad_key, grad_value};
  const Tensor grad = readable(grad_), query = readable(query_), key = readable(key_), value = readable(value_);
  const Tensor to_query = readable(grad_query, needs[0]), to_key = readable(grad_key, needs[1]),
               to_value = readable(grad_value, needs[2]);
  const Tensor lse = lse_.contiguous(), delta = at::empty_like(lse);
  cuda::dispatch(query, op, [&](auto element) {
    using scalar = decltype(element);
    using acc = cuda::acc_of<scalar>;
    auto args = common_args<scalar>(query, mask, radius);
    args.grad = heads_of<scalar>(grad);
    args.query = heads_of<scalar>(query);
    args.key = heads_of<scalar>(key);
    args.value = heads_of<scalar>(value);
    if (needs[0]) args.grad_query = written_heads<scalar>(to_query);
    if (needs[1]) args.grad_key = written_heads<scalar>(to_key);
    if (needs[2]) args.grad_value = written_heads<scalar>(to_value);
    args.lse = const_cast<acc*>(lse.const_data_ptr<acc>());  // Read only.
    args.delta = delta.mutable_data_ptr<acc>();
    for_layout<scalar>(query.size(3), [&](auto layout) {
      using Layout = decltype(layout);
      // The first kernel also finds the delta that the second one needs for the keys.
      if (needs[0] || needs[1]) run<Layout>(cuda::AttentionPass::kGradQuery, args, query.size(0), tensor_cores, op);
      if (needs[1] || needs[2]) run<Layout>(cuda::AttentionPass::kGradKeyValue, args, query.size(0), tensor_cores, op);
    });
  });
  if (!to_query.is_same(grad_query)) grad_query.copy_(to_query);
  if (!to_key.is_same(grad_key)) grad_key.copy_(to_key);
  if (!to_value.is_same(grad_value)) grad_value.copy_(to_value);
  return {grad_query, grad_key, grad_value};
}

// How the tensor cores' results and gradients on a small problem differ from those of the other kernels:
// an empty string where no more than two times the tolerance of the type may.
std::string tensor_core_difference(at::Device device) {
  for (const at::ScalarType dtype : {at::kHalf, at::kBFloat16}) {
    const double tolerance = dtype == at::kHalf ? 4e-3 : 3.2e-2;
    for (const int64_t dims : {32, 64, 128}) {
      const int64_t steps = 75, window = 19;
      const Tensor index = at::arange(2 * steps * dims, at::device(device).dtype(at::kFloat)).view({1, 2, steps, dims});
      const auto wave = [&](double speed) { return index.mul(speed).sin().to(dtype); };
      const Tensor query = wave(1.3), key = wave(2.9), value = wave(4.7), grad = wave(7.1);
      const Tensor mask = at::arange(steps, at::device(device)).view({1, steps}).ne(40);
      const auto results = [&](bool tensor_cores) {
        const auto [out, lse] = forward(query, key, value, mask, window, tensor_cores);
        const auto [grad_query, grad_key, grad_value] =
            backward(grad, query, key, value, mask, lse, window, {true, true, true}, tensor_cores);
        return std::array<Tensor, 5>{out, lse, grad_query, grad_key, grad_value};
      };
      const auto found = results(true), expected = results(false);
      for (size_t i = 0; i < found.size(); ++i) {
        const Tensor x = found[i].to(at::kFloat), y = expected[i].to(at::kFloat);
        // The lse of a masked step is infinite in both.
        const double error = x.sub(y).masked_fill(x.eq(y), 0).abs().max().item().toDouble() /
                             (1 + y.masked_fill(y.isinf(), 0).abs().max().item().toDouble());
        if (!(error <= tolerance)) return "their results differ from the other kernels'";
      }
    }
  }
  return "";
}

// Whether tensor cores may multiply these heads: half types, on a device that passed the check.
bool use_tensor_cores(const Tensor& query) {
  static cuda::FirstUse checked;
  const bool half_type = query.scalar_type() == at::kHalf || query.scalar_type() == at::kBFloat16;
  if (!half_type || !query.is_cuda() || query.size(-1) > cuda::kMaxMmaDims) return false;
  const c10::cuda::CUDAGuard guard(query.device());
  // A graph that is captured before the check, which must not be part of it, does without.
  const bool captured = c10::cuda::currentStreamCaptureStatusMayInitCtx() != c10::cuda::CaptureStatus::None;
  const int device = query.device().index();
  return checked.passed(
      device, !captured, [&] { return tensor_core_difference(query.device()); },
      [&](const std::string& problem) {
        TORCH_WARN(
            "local_attention does not use the tensor cores of GPU ", device,
            ", which makes half types slower: ", problem);
      });
}

}  // namespace

std::tuple<Tensor, Tensor> cuda::local_attention(
    const Tensor& query, const Tensor& key, const Tensor& value, const std::optional<Tensor>& mask, int64_t window) {
  return forward(query, key, value, mask, window, use_tensor_cores(query));
}

std::tuple<Tensor, Tensor, Tensor> cuda::local_attention_backward(
    const Tensor& grad, const Tensor& query, const Tensor& key, const Tensor& value, const std::optional<Tensor>& mask,
    const Tensor& lse, int64_t window, Needs needs) {
  return backward(grad, query, key, value, mask, lse, window, needs, use_tensor_cores(query));
}

}  // namespace mmtad
