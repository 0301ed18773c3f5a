// The backward pass of sliding-window attention for wide windows. Included inside an instruction
// set's namespace, behind attention.h.

// A tile of a wide window's backward pass: two tensors at its own steps, two at those around them.
template <typename T>
struct WideTile {
  static constexpr int64_t lanes = Simd<T>::lanes;
  int64_t width, dims, columns, span;
  Workspace<T> space;
  Rows<T> own[2], around[2], out[2];
  typename Simd<T>::Int* keep;  // Of the steps around.
  T *lse, *delta, *weights, *grads;

  WideTile(const AttentionArgs& args, int64_t tile, void* scratch)
      : width(2 * args.radius + 1),
        dims(round_up(args.dims, at_least(lanes, 4))),
        columns(tile),
        span(round_up(tile + 2 * args.radius, lanes)),
        space{static_cast<char*>(scratch)},
        own{space.rows(dims, columns), space.rows(dims, columns)},
        around{space.rows(dims, span), space.rows(dims, span)},
        out{space.rows(dims, columns), space.rows(dims, columns)},
        keep(space.template take<typename Simd<T>::Int>(span)),
        lse(space.template take<T>(span)),
        delta(space.template take<T>(span)),
        weights(space.template take<T>(width * lanes)),
        grads(space.template take<T>(width * lanes)) {}
};

// dq, and delta: the sum over the window of P * dP.
template <typename E>
void attention_grad_query_of(const AttentionArgs& args, int64_t columns, Tile tile, void* scratch) {
  using T = Compute<E>;
  using IntVec = typename Simd<T>::IntVec;
  constexpr int64_t lanes = Simd<T>::lanes;
  const WideTile<T> w(args, columns, scratch);
  const int64_t first = tile.first, radius = args.radius, start = first - radius;
  const bool* mask = args.mask ? args.mask + tile.n * args.steps : nullptr;
  const T scale = T(1) / __builtin_sqrt(T(args.dims));
  const int64_t row = (tile.n * args.heads + tile.h) * args.steps;
  const T* lse = static_cast<const T*>(args.lse) + row;
  T* delta = static_cast<T*>(args.delta) + row;

  pack_mask(mask, args.steps, start, w.span, w.keep);
  const auto* own_keep = w.keep + radius;
  pack(select<const E>(args.query, args, tile), first, columns, own_keep, scale, w.own[0]);
  pack(select<const E>(args.grad, args, tile), first, columns, own_keep, T(1), w.own[1]);
  pack(select<const E>(args.key, args, tile), start, w.span, w.keep, T(1), w.around[0]);
  pack(select<const E>(args.value, args, tile), start, w.span, w.keep, T(1), w.around[1]);
  for (int64_t i = 0; i < columns && first + i < args.steps; i += lanes) {
    band_dot(w.width, w.own[0].from(i), w.around[0].from(i), w.weights, lanes);
    band_dot(w.width, w.own[1].from(i), w.around[1].from(i), w.grads, lanes);
    const Vec<T> log_total = load_first(lse + first + i, args.steps - first - i);
    const auto own_kept = (IntVec)load(reinterpret_cast<const T*>(own_keep + i));
    Vec<T> mean = {};
    for (int64_t c = 0; c < w.width; ++c) {
      const auto kept = (IntVec)load(reinterpret_cast<const T*>(w.keep + i + c)) & own_kept;
      const Vec<T> weight = exponential(load(w.weights + c * lanes) - log_total);
      store(w.weights + c * lanes, (Vec<T>)((IntVec)weight & kept));
      mean += (Vec<T>)((IntVec)weight & kept) * load(w.grads + c * lanes);
    }
    for (int64_t c = 0; c < w.width; ++c)
      store(w.grads + c * lanes, load(w.weights + c * lanes) * (load(w.grads + c * lanes) - mean));
    store_first(delta + first + i, mean, args.steps - first - i);
    if (args.grad_query.data != nullptr) band_apply(w.width, w.grads, lanes, w.around[0].from(i), w.out[0].from(i));
  }
  if (args.grad_query.data != nullptr)
    unpack(w.out[0], first, columns, own_keep, scale, select<E>(args.grad_query, args, tile));
}

// dk and dv, over the queries around a tile of keys: query j + c - radius is at offset c of key j.
template <typename E>
void attention_grad_key_value_of(const AttentionArgs& args, int64_t columns, Tile tile, void* scratch) {
  using T = Compute<E>;
  using IntVec = typename Simd<T>::IntVec;
  constexpr int64_t lanes = Simd<T>::lanes;
  const WideTile<T> w(args, columns, scratch);
  const int64_t first = tile.first, radius = args.radius, start = first - radius;
  const bool* mask = args.mask ? args.mask + tile.n * args.steps : nullptr;
  const bool needs_key = args.grad_key.data != nullptr, needs_value = args.grad_value.data != nullptr;
  const T scale = T(1) / __builtin_sqrt(T(args.dims));
  const int64_t row = (tile.n * args.heads + tile.h) * args.steps;

  pack_mask(mask, args.steps, start, w.span, w.keep);
  const auto* own_keep = w.keep + radius;
  pack(select<const E>(args.key, args, tile), first, columns, own_keep, scale, w.own[0]);
  pack(select<const E>(args.value, args, tile), first, columns, own_keep, T(1), w.own[1]);
  pack(select<const E>(args.query, args, tile), start, w.span, w.keep, T(1), w.around[0]);
  pack(select<const E>(args.grad, args, tile), start, w.span, w.keep, T(1), w.around[1]);
  for (int64_t i = 0; i < w.span; ++i) {
    w.lse[i] = w.keep[i] ? static_cast<const T*>(args.lse)[row + start + i] : T(__builtin_inff());
    w.delta[i] = w.keep[i] && needs_key ? static_cast<const T*>(args.delta)[row + start + i] : T(0);
  }
  for (int64_t i = 0; i < columns && first + i < args.steps; i += lanes) {
    band_dot(w.width, w.own[0].from(i), w.around[0].from(i), w.weights, lanes);
    if (needs_key) band_dot(w.width, w.own[1].from(i), w.around[1].from(i), w.grads, lanes);
    const auto own_kept = (IntVec)load(reinterpret_cast<const T*>(own_keep + i));
    for (int64_t c = 0; c < w.width; ++c) {
      const auto kept = (IntVec)load(reinterpret_cast<const T*>(w.keep + i + c)) & own_kept;
      const Vec<T> logit = load(w.weights + c * lanes) - load(w.lse + i + c);
      const auto weight = (Vec<T>)((IntVec)exponential(logit) & kept);
      store(w.weights + c * lanes, weight);
      if (needs_key) store(w.grads + c * lanes, weight * (load(w.grads + c * lanes) - load(w.delta + i + c)));
    }
    if (needs_key) band_apply(w.width, w.grads, lanes, w.around[0].from(i), w.out[0].from(i));
    if (needs_value) band_apply(w.width, w.weights, lanes, w.around[1].from(i), w.out[1].from(i));
  }
  if (needs_key) unpack(w.out[0], first, columns, own_keep, scale, select<E>(args.grad_key, args, tile));
  if (needs_value) unpack(w.out[1], first, columns, own_keep, T(1), select<E>(args.grad_value, args, tile));
}
