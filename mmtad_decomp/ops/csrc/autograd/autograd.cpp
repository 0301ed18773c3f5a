// Gradients of the operators, for every device.
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "common/checks.h"

namespace mmtad::autograd {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using MaybeTensor = std::optional<Tensor>;
using MaybeInt = std::optional<int64_t>;
using ThreeTensors = std::tuple<Tensor, Tensor, Tensor>;

using AttentionSignature =
    std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&, const MaybeTensor&, int64_t);
using AttentionBackwardSignature = ThreeTensors(
    const Tensor&, const Tensor&, const Tensor&, const Tensor&, const MaybeTensor&, const Tensor&, int64_t, Needs);
using FusionSignature = Tensor(const Tensor&, const Tensor&, const Tensor&, const MaybeTensor&, MaybeInt, bool);
using FusionBackwardSignature =
    ThreeTensors(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const MaybeTensor&, MaybeInt, bool, Needs);

// Calls the operator below autograd: the kernel of the tensors' device, or a fake one.
template <const char* name, typename Signature, typename... Args>
auto call(const Args&... args) {
  static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
  at::AutoDispatchBelowADInplaceOrView guard;
  return op.call(args...);
}

bool needs_gradient(const Tensor& a, const Tensor& b, const Tensor& c) {
  return at::GradMode::is_enabled() && (a.requires_grad() || b.requires_grad() || c.requires_grad());
}

// Which of a Function's first three inputs need a gradient.
Needs needed(AutogradContext* context) {
  return {context->needs_input_grad(0), context->needs_input_grad(1), context->needs_input_grad(2)};
}

Tensor if_needed(const Tensor& grad, bool needed) { return needed ? grad : Tensor(); }

Tensor or_undefined(const MaybeTensor& x) { return x.value_or(Tensor()); }

MaybeTensor or_nothing(const Tensor& x) { return x.defined() ? MaybeTensor(x) : std::nullopt; }

[[noreturn]] void not_twice_differentiable(const char* op) {
  TORCH_CHECK(
      false, op, " is not twice differentiable. Where gradients of gradients are needed, call it ",
      "within mmtad_decomp.ops.plain_pytorch() and, for attention, ",
      "torch.nn.attention.sdpa_kernel(SDPBackend.MATH).");
}

// ---- local_attention ----

constexpr char kAttention[] = "mmtad_decomp::local_attention";
constexpr char kAttentionBackward[] = "mmtad_decomp::local_attention_backward";

ThreeTensors attention_gradients(
    const Tensor& grad, const Tensor& query, const Tensor& key, const Tensor& value, const MaybeTensor& mask,
    const Tensor& lse, int64_t window, Needs needs);

struct LocalAttention : torch::autograd::Function<LocalAttention> {
  static variable_list forward(
      AutogradContext* context, const Tensor& query, const Tensor& key, const Tensor& value, const MaybeTensor& mask,
      int64_t window) {
    auto [out, lse] = call<kAttention, AttentionSignature>(query, key, value, mask, window);
    context->save_for_backward({query, key, value, or_undefined(mask), lse});
    context->saved_data["window"] = window;
    context->mark_non_differentiable({lse});
    return {out, lse};
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const Tensor &query = saved[0], &key = saved[1], &value = saved[2], &mask = saved[3], &lse = saved[4];
    const Needs needs = needed(context);
    const auto [grad_query, grad_key, grad_value] = attention_gradients(
        grads[0], query, key, value, or_nothing(mask), lse, context->saved_data["window"].toInt(), needs);
    return {
        if_needed(grad_query, needs[0]), if_needed(grad_key, needs[1]), if_needed(grad_value, needs[2]), Tensor(),
        Tensor()};
  }
};

struct LocalAttentionBackward : torch::autograd::Function<LocalAttentionBackward> {
  static variable_list forward(
      AutogradContext*, const Tensor& grad, const Tensor& query, const Tensor& key, const Tensor& value,
      const MaybeTensor& mask, const Tensor& lse, int64_t window, const Needs& needs) {
    auto [grad_query, grad_key, grad_value] =
        call<kAttentionBackward, AttentionBackwardSignature>(grad, query, key, value, mask, lse, window, needs);
    return {grad_query, grad_key, grad_value};
  }

  static variable_list backward(AutogradContext*, const variable_list&) { not_twice_differentiable("local_attention"); }
};

std::tuple<Tensor, Tensor> local_attention(
    const Tensor& query, const Tensor& key, const Tensor& value, const MaybeTensor& mask, int64_t window) {
  if (!needs_gradient(query, key, value)) return call<kAttention, AttentionSignature>(query, key, value, mask, window);
  const auto out = LocalAttention::apply(query, key, value, mask, window);
  return {out[0], out[1]};
}

ThreeTensors attention_gradients(
    const Tensor& grad, const Tensor& query, const Tensor& key, const Tensor& value, const MaybeTensor& mask,
    const Tensor& lse, int64_t window, Needs needs) {
  const auto out = LocalAttentionBackward::apply(grad, query, key, value, mask, lse, window, needs);
  return {out[0], out[1], out[2]};
}

// ---- local_attentive_fusion ----

constexpr char kFusion[] = "mmtad_decomp::local_attentive_fusion";
constexpr char kFusionBackward[] = "mmtad_decomp::local_attentive_fusion_backward";

ThreeTensors fusion_gradients(
    const Tensor& grad, const Tensor& value, const Tensor& query, const Tensor& key, const MaybeTensor& mask,
    MaybeInt window, bool residual, Needs needs);

struct LocalAttentiveFusion : torch::autograd::Function<LocalAttentiveFusion> {
  static Tensor forward(
      AutogradContext* context, const Tensor& value, const Tensor& query, const Tensor& key, const MaybeTensor& mask,
      const MaybeInt& window, bool residual) {
    context->save_for_backward({value, query, key, or_undefined(mask)});
    context->saved_data["window"] = window;
    context->saved_data["residual"] = residual;
    return call<kFusion, FusionSignature>(value, query, key, mask, window, residual);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const Needs needs = needed(context);
    const auto [grad_value, grad_query, grad_key] = fusion_gradients(
        grads[0], saved[0], saved[1], saved[2], or_nothing(saved[3]), context->saved_data["window"].to<MaybeInt>(),
        context->saved_data["residual"].toBool(), needs);
    return {
        if_needed(grad_value, needs[0]),
        if_needed(grad_query, needs[1]),
        if_needed(grad_key, needs[2]),
        Tensor(),
        Tensor(),
        Tensor()};
  }
};

struct LocalAttentiveFusionBackward : torch::autograd::Function<LocalAttentiveFusionBackward> {
  static variable_list forward(
      AutogradContext*, const Tensor& grad, const Tensor& value, const Tensor& query, const Tensor& key,
      const MaybeTensor& mask, const MaybeInt& window, bool residual, const Needs& needs) {
    auto [grad_value, grad_query, grad_key] =
        call<kFusionBackward, FusionBackwardSignature>(grad, value, query, key, mask, window, residual, needs);
    return {grad_value, grad_query, grad_key};
  }

  static variable_list backward(AutogradContext*, const variable_list&) {
    not_twice_differentiable("local_attentive_fusion");
  }
};

Tensor local_attentive_fusion(
    const Tensor& value, const Tensor& query, const Tensor& key, const MaybeTensor& mask, MaybeInt window,
    bool residual) {
  if (!needs_gradient(value, query, key))
    return call<kFusion, FusionSignature>(value, query, key, mask, window, residual);
  return LocalAttentiveFusion::apply(value, query, key, mask, window, residual);
}

ThreeTensors fusion_gradients(
    const Tensor& grad, const Tensor& value, const Tensor& query, const Tensor& key, const MaybeTensor& mask,
    MaybeInt window, bool residual, Needs needs) {
  const auto out = LocalAttentiveFusionBackward::apply(grad, value, query, key, mask, window, residual, needs);
  return {out[0], out[1], out[2]};
}

}  // namespace

TORCH_LIBRARY_IMPL(mmtad_decomp, Autograd, m) {
  m.impl("local_attention", local_attention);
  m.impl("local_attention_backward", attention_gradients);
  m.impl("local_attentive_fusion", local_attentive_fusion);
  m.impl("local_attentive_fusion_backward", fusion_gradients);
}

}  // namespace mmtad::autograd
