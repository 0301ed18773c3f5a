// The backward pass of sliding-window attention for wide windows. Included inside an instruction
// set's namespace, behind attention.h.

// Two tensors at a group of the tile's own steps, and two at those around the tile.
template <typename T>
struct WideTile : TileShape<T> {
  Rows<T> own[2], by_channel[2], by_step[2], out;
  typename Simd<T>::Int* keep;  // Of the steps around.
  T *lse, *delta, *weights, *grads;

  WideTile(const AttentionArgs& args, int64_t tile, void* scratch)
      : TileShape<T>(args, tile, scratch),
        own{this->space.by_step(kGroup), this->space.by_step(kGroup)},
        by_channel{this->space.by_channel(this->around), this->space.by_channel(this->around)},
        by_step{this->space.by_step(this->around), this->space.by_step(this->around)},
        out(this->space.by_step(kGroup)),
        keep(this->space.template take<typename Simd<T>::Int>(this->around)),
        lse(this->space.template take<T>(this->around)),
        delta(this->space.template take<T>(this->around)),
        weights(this->space.template take<T>(kGroup * this->stride)),
        grads(this->space.template take<T>(kGroup * this->stride)) {}

  Weights<T> band(const T* data) const { return {data, this->stride - 1, 1}; }
};

// dq, and delta: the sum over the window of P * dP.
template <typename E>
void attention_grad_query_of(const AttentionArgs& args, int64_t columns, Tile tile, void* scratch) {
  using T = Compute<E>;
  const WideTile<T> w(args, columns, scratch);
  const int64_t start = tile.first - w.radius;
  const bool* mask = args.mask ? args.mask + tile.n * args.steps : nullptr;
  const int64_t row = (tile.n * args.heads + tile.h) * args.steps + tile.first;
  const T* lse = static_cast<const T*>(args.lse) + row;
  T* delta = static_cast<T*>(args.delta) + row;
  const auto query = select<const E>(args.query, args, tile), grad = select<const E>(args.grad, args, tile);
  const auto key = select<const E>(args.key, args, tile), value = select<const E>(args.value, args, tile);
  const bool needs_query = args.grad_query.data != nullptr;
  const Factors<T> scaled{&w.scale, false};

  pack_mask(mask, args.steps, start, w.around, w.keep);
  pack<Order::ByChannel>(key, start, w.around, w.keep, T(1), w.by_channel[0]);
  pack<Order::ByChannel>(value, start, w.around, w.keep, T(1), w.by_channel[1]);
  if (needs_query) pack<Order::ByStep>(key, start, w.around, w.keep, T(1), w.by_step[0]);
  for_groups(w, args.steps - tile.first, [&](int64_t group, int64_t count) {
    const int64_t first = tile.first + group;
    const auto* keep = w.keep + w.radius + group;
    pack<Order::ByStep>(query, first, count, keep, w.scale, w.own[0]);
    pack<Order::ByStep>(grad, first, count, keep, T(1), w.own[1]);
    band_dot(w.width, count, w.own[0], w.by_channel[0].at(0, group), w.weights);
    band_dot(w.width, count, w.own[1], w.by_channel[1].at(0, group), w.grads);
    for (int64_t i = 0; i < count && first + i < args.steps; ++i) {
      T *weights = w.weights + i * w.stride, *grads = w.grads + i * w.stride;
      delta[group + i] = 0;
      if (keep[i])
        delta[group + i] = softmax_backward(w, w.keep + group + i, lse[group + i], weights, grads);
      else
        clear(grads, w.width);
    }
    if (!needs_query) return;
    band_apply(w.width, count, w.band(w.grads), w.by_step[0].at(group, 0), w.out);
    unpack(w.out, first, count, keep, scaled, select<E>(args.grad_query, args, tile));
  });
}

// dk and dv, over the queries around a tile of keys.
template <typename E>
void attention_grad_key_value_of(const AttentionArgs& args, int64_t columns, Tile tile, void* scratch) {
  using T = Compute<E>;
  constexpr int64_t lanes = Simd<T>::lanes;
  const WideTile<T> w(args, columns, scratch);
  const int64_t start = tile.first - w.radius;
  const bool* mask = args.mask ? args.mask + tile.n * args.steps : nullptr;
  const bool needs_key = args.grad_key.data != nullptr, needs_value = args.grad_value.data != nullptr;
  const int64_t row = (tile.n * args.heads + tile.h) * args.steps + start;
  const T one = 1;
  const Factors<T> scaled{&w.scale, false}, unscaled{&one, false};
  const auto key = select<const E>(args.key, args, tile), value = select<const E>(args.value, args, tile);
  const auto query = select<const E>(args.query, args, tile), grad = select<const E>(args.grad, args, tile);

  pack_mask(mask, args.steps, start, w.around, w.keep);
  pack<Order::ByChannel>(query, start, w.around, w.keep, T(1), w.by_channel[0]);
  if (needs_key) pack<Order::ByChannel>(grad, start, w.around, w.keep, T(1), w.by_channel[1]);
  if (needs_key) pack<Order::ByStep>(query, start, w.around, w.keep, T(1), w.by_step[0]);
  if (needs_value) pack<Order::ByStep>(grad, start, w.around, w.keep, T(1), w.by_step[1]);
  for (int64_t i = 0; i < w.around; ++i) {
    w.lse[i] = w.keep[i] ? static_cast<const T*>(args.lse)[row + i] : T(__builtin_inff());
    w.delta[i] = w.keep[i] && needs_key ? static_cast<const T*>(args.delta)[row + i] : T(0);
  }
  for_groups(w, args.steps - tile.first, [&](int64_t group, int64_t count) {
    const int64_t first = tile.first + group;
    const auto* keep = w.keep + w.radius + group;
    pack<Order::ByStep>(key, first, count, keep, w.scale, w.own[0]);
    band_dot(w.width, count, w.own[0], w.by_channel[0].at(0, group), w.weights);
    if (needs_key) {
      pack<Order::ByStep>(value, first, count, keep, T(1), w.own[1]);
      band_dot(w.width, count, w.own[1], w.by_channel[1].at(0, group), w.grads);
    }
    for (int64_t i = 0; i < count; ++i) {
      T *weights = w.weights + i * w.stride, *grads = w.grads + i * w.stride;
      for (int64_t c = 0; c < w.width; c += lanes) {
        const int64_t q = group + i + c;
        const auto kept = load_mask(w.keep + q) & w.inside(c);
        const Vec<T> weight = only(exponential(load(weights + c) - load(w.lse + q)), kept);
        store(weights + c, weight);
        if (needs_key) store(grads + c, only(weight * (load(grads + c) - load(w.delta + q)), kept));
      }
    }
    if (needs_key) {
      band_apply(w.width, count, w.band(w.grads), w.by_step[0].at(group, 0), w.out);
      unpack(w.out, first, count, keep, scaled, select<E>(args.grad_key, args, tile));
    }
    if (needs_value) {
      band_apply(w.width, count, w.band(w.weights), w.by_step[1].at(group, 0), w.out);
      unpack(w.out, first, count, keep, unscaled, select<E>(args.grad_value, args, tile));
    }
  });
}
