#include <torch/library.h>

#include "common/checks.h"
#include "cpu/parallel.h"

namespace mmtad {
namespace {

UntypedHeads heads_of(const at::Tensor& x) {
  return {x.data_ptr(), x.stride(0), x.stride(1), x.stride(2), x.stride(3)};
}

// The kernels read consecutive channels or consecutive steps.
at::Tensor readable(const at::Tensor& x) { return x.stride(3) == 1 || x.stride(2) == 1 ? x : x.contiguous(); }

AttentionArgs shape_args(const at::Tensor& query, int64_t window) {
  AttentionArgs args{};
  args.dtype = dtype_of(query);
  args.heads = query.size(1);
  args.steps = query.size(2);
  args.dims = query.size(3);
  args.radius = window_radius(window, args.steps, "local_attention");
  return args;
}

void run(const AttentionArgs& args, int64_t batch, Pass pass) {
  const int64_t tile = kernels().attention_tile(args);
  const int64_t tiles = tile > 0 ? (args.steps + tile - 1) / tile : 0;
  // Products of one tile: below about 2^18 of them, a second thread costs more than it saves.
  const int64_t products = std::max<int64_t>(tile * (2 * args.radius + 1) * args.dims, 1);
  const int64_t grain = std::max<int64_t>((1 << 17) / products, 1);
  parallel_with_scratch(
      batch * args.heads * tiles, grain, kernels().attention_scratch(args, pass),
      [&](int64_t begin, int64_t end, void* scratch) {
        // Heads of one tile in turn: where channels hold the heads, their rows lie side by side.
        for (int64_t task = begin; task < end; ++task) {
          const int64_t row = task / args.heads;
          kernels().attention(args, pass, Tile{row / tiles, task % args.heads, row % tiles * tile}, scratch);
        }
      });
}

std::tuple<at::Tensor, at::Tensor> local_attention(
    const at::Tensor& query_, const at::Tensor& key_, const at::Tensor& value_, const std::optional<at::Tensor>& mask_,
    int64_t window) {
  const char* op = "local_attention";
  check_heads(query_, {&key_, &value_}, op);
  const auto mask = check_mask(mask_, query_, query_.size(2), op);
  AttentionArgs args = shape_args(query_, window);
  const at::Tensor query = readable(query_), key = readable(key_), value = readable(value_);
  at::Tensor out = at::empty_like(query_);
  at::Tensor lse = at::empty({query.size(0), query.size(1), query.size(2)}, query.options().dtype(compute_type(query)));
  if (query.numel() == 0) return {out, lse.fill_(std::numeric_limits<double>::infinity())};
  const at::Tensor written = readable(out);
  args.mask = mask ? mask->const_data_ptr<bool>() : nullptr;
  args.query = heads_of(query);
  args.key = heads_of(key);
  args.value = heads_of(value);
  args.out = heads_of(written);
  args.lse = lse.data_ptr();
  run(args, query.size(0), Pass::Forward);
  if (!written.is_same(out)) out.copy_(written);
  return {out, lse};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> local_attention_backward(
    const at::Tensor& grad_, const at::Tensor& query_, const at::Tensor& key_, const at::Tensor& value_,
    const std::optional<at::Tensor>& mask_, const at::Tensor& lse, int64_t window, Needs needs) {
  const char* op = "local_attention_backward";
  check_heads(query_, {&grad_, &key_, &value_}, op);
  check_lse(lse, query_, op);
  const auto mask = check_mask(mask_, query_, query_.size(2), op);
  AttentionArgs args = shape_args(query_, window);
  const at::Tensor grad = readable(grad_), query = readable(query_), key = readable(key_), value = readable(value_),
                   stats = lse.contiguous();
  at::Tensor out[3] = {
      empty_gradient(query_, needs[0]), empty_gradient(key_, needs[1]), empty_gradient(value_, needs[2])};
  if (query.numel() == 0) return {out[0], out[1], out[2]};
  at::Tensor written[3];
  UntypedHeads* const targets[3] = {&args.grad_query, &args.grad_key, &args.grad_value};
  for (int i = 0; i < 3; ++i) {
    if (!needs[i]) continue;
    written[i] = readable(out[i]);
    *targets[i] = heads_of(written[i]);
  }
  args.mask = mask ? mask->const_data_ptr<bool>() : nullptr;
  args.query = heads_of(query);
  args.key = heads_of(key);
  args.value = heads_of(value);
  args.grad = heads_of(grad);
  args.lse = stats.data_ptr();
  if (args.radius <= kBackwardRadius) {
    run(args, query.size(0), Pass::Backward);
  } else {
    const at::Tensor delta = at::empty_like(stats);
    args.delta = delta.data_ptr();
    if (needs[0] || needs[1]) run(args, query.size(0), Pass::GradQuery);
    if (needs[1] || needs[2]) run(args, query.size(0), Pass::GradKeyValue);
  }
  for (int i = 0; i < 3; ++i)
    if (needs[i] && !written[i].is_same(out[i])) out[i].copy_(written[i]);
  return {out[0], out[1], out[2]};
}

}  // namespace

TORCH_LIBRARY_IMPL(mmtad_decomp, CPU, m) {
  m.impl("local_attention", local_attention);
  m.impl("local_attention_backward", local_attention_backward);
}

}  // namespace mmtad
