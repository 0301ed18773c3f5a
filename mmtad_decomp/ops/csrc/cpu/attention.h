// Sliding-window attention of one tile of steps. Included inside an instruction set's namespace.
//
// A tile is packed with time along the vector's lanes: row d holds channel d of consecutive steps.
// Then the logits of one offset are a sum over d of products of two rows, one of them shifted, and
// the softmax of 16 queries is that of one, written with vectors. Everything the forward and
// backward pass need are two operations on a band of w offsets:
//   band_dot:   s_c[i] = sum_d a[d][i] * b[d][i + c]
//   band_apply: o[d][i] = sum_c w_c[i] * x[d][i + c]

// Offsets kept in registers at once.
constexpr int64_t kBand = MMTAD_BYTES == 64 ? 20 : 10;

template <typename T>
struct Rows {
  T* data;
  int64_t stride, count;
  Rows from(int64_t column) const { return {data + column, stride, count}; }
};

template <typename T, int... c>
void band_dot_of(Rows<T> a, Rows<T> b, T* out, int64_t out_stride) {
  Vec<T> acc[sizeof...(c)] = {};
  for (int64_t d = 0; d < a.count; ++d) {
    const Vec<T> x = load(a.data + d * a.stride);
    const Shifts<T, sizeof...(c)> y(b.data + d * b.stride);
    ((acc[c] += x * y.template by<c>()), ...);
  }
  (store(out + c * out_stride, acc[c]), ...);
}

template <typename T, int... c>
void band_apply_of(const T* weights, int64_t weight_stride, Rows<T> x, Rows<T> out, bool add) {
  const Vec<T> w[] = {load(weights + c * weight_stride)...};
  for (int64_t d = 0; d < x.count; ++d) {
    const Shifts<T, sizeof...(c)> y(x.data + d * x.stride);
    Vec<T> acc = add ? load(out.data + d * out.stride) : Vec<T>{};
    ((acc += w[c] * y.template by<c>()), ...);
    store(out.data + d * out.stride, acc);
  }
}

// The two operations for a given number of offsets.
template <typename T>
struct Band {
  decltype(&band_dot_of<T, 0>) dot;
  decltype(&band_apply_of<T, 0>) apply;
};

template <typename T, int... c>
constexpr Band<T> band_of(std::integer_sequence<int, c...>) {
  return {&band_dot_of<T, c...>, &band_apply_of<T, c...>};
}

template <typename T, int... index>
const Band<T>& band(int64_t count, std::integer_sequence<int, index...>) {
  static constexpr Band<T> bands[] = {band_of<T>(std::make_integer_sequence<int, index + 1>{})...};
  return bands[count - 1];
}

template <typename T>
const Band<T>& band(int64_t count) {
  return band<T>(count, std::make_integer_sequence<int, kBand>{});
}

// Calls f(first, count) for nearly equal parts of the band that fit the registers.
template <typename F>
inline void for_parts(int64_t width, F f) {
  const int64_t parts = (width + kBand - 1) / kBand, size = (width + parts - 1) / parts;
  for (int64_t first = 0; first < width; first += size) f(first, at_most(size, width - first));
}

template <typename T>
void band_dot(int64_t width, Rows<T> a, Rows<T> b, T* out, int64_t out_stride) {
  for_parts(width, [&](int64_t first, int64_t count) {
    band<T>(count).dot(a, b.from(first), out + first * out_stride, out_stride);
  });
}

template <typename T>
void band_apply(int64_t width, const T* weights, int64_t weight_stride, Rows<T> x, Rows<T> out) {
  for_parts(width, [&](int64_t first, int64_t count) {
    const T* part = weights + first * weight_stride;
    band<T>(count).apply(part, weight_stride, x.from(first), out, first > 0);
  });
}

// One head of one sequence.
template <typename E>
struct Sequence {
  E* data;
  int64_t step, dim, steps, dims;
};

template <typename E>
Sequence<E> select(const UntypedHeads& x, const AttentionArgs& args, const Tile& tile) {
  E* data = static_cast<E*>(x.data) + tile.n * x.batch + tile.h * x.head;
  return {data, x.step, x.dim, args.steps, args.dims};
}

// keep[i] = all ones where step first + i exists and is valid, else 0.
template <typename Int>
void pack_mask(const bool* mask, int64_t steps, int64_t first, int64_t span, Int* keep) {
  for (int64_t i = 0; i < span; ++i) {
    const int64_t t = first + i;
    keep[i] = -Int(t >= 0 && t < steps && (mask == nullptr || mask[t]));
  }
}

// Steps first ... first + span - 1 into rows of channels, zeros where keep is 0.
template <typename E, typename T = Compute<E>, typename Int = typename Simd<T>::Int>
void pack(const Sequence<const E>& x, int64_t first, int64_t span, const Int* keep, T scale, Rows<T> out) {
  constexpr int64_t lanes = Simd<T>::lanes;
  for (int64_t d = x.dims; d < out.count; ++d)
    for (int64_t i = 0; i < span; i += lanes) store(out.data + d * out.stride + i, Vec<T>{});
  for (int64_t i = 0; i < span; i += lanes) {
    const int64_t t = first + i;
    if (t + lanes <= 0 || t >= x.steps) {
      for (int64_t d = 0; d < x.dims; ++d) store(out.data + d * out.stride + i, Vec<T>{});
      continue;
    }
    if (x.dim == 1) {
      for (int64_t d = 0; d < x.dims; d += lanes) {
        Vec<T> square[lanes];
        const int64_t count = x.dims - d;
#pragma GCC unroll 16
        for (int64_t r = 0; r < lanes; ++r)
          square[r] = keep[i + r] ? load_first(x.data + (t + r) * x.step + d, count) * scale : Vec<T>{};
        transpose<T>(square);
#pragma GCC unroll 16
        for (int64_t r = 0; r < lanes; ++r) store(out.data + (d + r) * out.stride + i, square[r]);
      }
      continue;
    }
    const auto kept = (typename Simd<T>::IntVec)load(reinterpret_cast<const T*>(keep + i));
    const bool inside = t >= 0 && t + lanes <= x.steps;
    for (int64_t d = 0; d < x.dims; ++d) {
      const E* row = x.data + d * x.dim + t;
      Vec<T> values = {};
      if (inside) {
        values = load_as(row);
      } else {
        E whole[lanes] = {};
        for (int64_t r = 0; r < lanes; ++r)
          if (keep[i + r]) whole[r] = row[r];
        values = load_as(whole);
      }
      store(out.data + d * out.stride + i, (Vec<T>)((typename Simd<T>::IntVec)(values * scale) & kept));
    }
  }
}

// The inverse of pack for steps first ... first + span - 1 that exist; zeros where keep is 0.
template <typename E, typename T = Compute<E>, typename Int = typename Simd<T>::Int>
void unpack(Rows<T> in, int64_t first, int64_t span, const Int* keep, T scale, const Sequence<E>& x) {
  constexpr int64_t lanes = Simd<T>::lanes;
  for (int64_t i = 0; i < span && first + i < x.steps; i += lanes) {
    const int64_t t = first + i, rows = at_most(lanes, x.steps - t);
    if (x.dim == 1) {
      for (int64_t d = 0; d < x.dims; d += lanes) {
        Vec<T> square[lanes];
#pragma GCC unroll 16
        for (int64_t r = 0; r < lanes; ++r) square[r] = load(in.data + (d + r) * in.stride + i) * scale;
        transpose<T>(square);
        for (int64_t r = 0; r < rows; ++r)
          store_first(x.data + (t + r) * x.step + d, keep[i + r] ? square[r] : Vec<T>{}, x.dims - d);
      }
      continue;
    }
    const auto kept = (typename Simd<T>::IntVec)load(reinterpret_cast<const T*>(keep + i));
    for (int64_t d = 0; d < x.dims; ++d) {
      const auto values = (typename Simd<T>::IntVec)(load(in.data + d * in.stride + i) * scale);
      store_first(x.data + d * x.dim + t, (Vec<T>)(values & kept), rows);
    }
  }
}

// The scratch memory of a tile. Rows end on odd numbers of cache lines, so that the rows of a
// column do not share their place in the cache.
template <typename T>
struct Workspace {
  char* next;
  int64_t used = 0;

  template <typename U>
  U* take(int64_t count) {
    U* p = reinterpret_cast<U*>(next + used);
    used += round_up(count * sizeof(U), 64);
    return p;
  }
  Rows<T> rows(int64_t dims, int64_t columns) {
    const int64_t lines = (columns * sizeof(T) + 63) / 64 | 1, stride = lines * 64 / sizeof(T);
    return {take<T>(dims * stride), stride, dims};
  }
};

template <typename T>
struct ForwardTile {
  static constexpr int64_t lanes = Simd<T>::lanes;
  int64_t width, dims, columns, span;
  Workspace<T> space;
  Rows<T> query, key, value;
  typename Simd<T>::Int* keep;
  T* logits;

  ForwardTile(const AttentionArgs& args, int64_t tile, void* scratch)
      : width(2 * args.radius + 1),
        dims(round_up(args.dims, at_least(lanes, 4))),
        columns(tile),
        span(round_up(tile + 2 * args.radius, lanes)),
        space{static_cast<char*>(scratch)},
        query(space.rows(dims, columns)),
        key(space.rows(dims, span)),
        value(space.rows(dims, span)),
        keep(space.template take<typename Simd<T>::Int>(span)),
        logits(space.template take<T>(width * lanes)) {}
};

template <typename T>
struct BackwardTile {
  static constexpr int64_t lanes = Simd<T>::lanes;
  // Queries: those of the tile's windows, `halo` before and behind it. Keys: those of the queries'
  // windows. With a halo of whole vectors, no vector of queries lies across the sequence's start.
  int64_t width, dims, columns, halo, queries, span;
  Workspace<T> space;
  Rows<T> query, grad, key, value, out;
  typename Simd<T>::Int* keep;
  T *lse, *weights, *grads;

  BackwardTile(const AttentionArgs& args, int64_t tile, void* scratch)
      : width(2 * args.radius + 1),
        dims(round_up(args.dims, at_least(lanes, 4))),
        columns(tile),
        halo(round_up(args.radius, lanes)),
        queries(tile + 2 * halo),
        span(round_up(queries + 2 * args.radius, lanes)),
        space{static_cast<char*>(scratch)},
        query(space.rows(dims, queries)),
        grad(space.rows(dims, queries)),
        key(space.rows(dims, span)),
        value(space.rows(dims, span)),
        out(space.rows(dims, columns)),
        keep(space.template take<typename Simd<T>::Int>(span)),
        lse(space.template take<T>(queries)),
        weights(space.template take<T>(width * queries)),
        grads(space.template take<T>(width * queries)) {}
};

template <typename E>
void attention_forward_of(const AttentionArgs& args, int64_t columns, Tile tile, void* scratch) {
  using T = Compute<E>;
  using IntVec = typename Simd<T>::IntVec;
  constexpr int64_t lanes = Simd<T>::lanes;
  const ForwardTile<T> w(args, columns, scratch);
  const int64_t first = tile.first, radius = args.radius;
  const bool* mask = args.mask ? args.mask + tile.n * args.steps : nullptr;
  const T scale = T(1) / __builtin_sqrt(T(args.dims));
  T* lse = static_cast<T*>(args.lse) + (tile.n * args.heads + tile.h) * args.steps;

  pack_mask(mask, args.steps, first - radius, w.span, w.keep);
  const auto* query_keep = w.keep + radius;
  pack(select<const E>(args.query, args, tile), first, columns, query_keep, scale, w.query);
  pack(select<const E>(args.key, args, tile), first - radius, w.span, w.keep, T(1), w.key);
  pack(select<const E>(args.value, args, tile), first - radius, w.span, w.keep, T(1), w.value);

  const Vec<T> lowest = fill(-T(__builtin_inff()));
  for (int64_t i = 0; i < columns && first + i < args.steps; i += lanes) {
    band_dot(w.width, w.query.from(i), w.key.from(i), w.logits, lanes);
    Vec<T> top = lowest;
    for (int64_t c = 0; c < w.width; ++c) {
      const auto kept = (IntVec)load(reinterpret_cast<const T*>(w.keep + i + c));
      const Vec<T> logit = kept ? load(w.logits + c * lanes) : lowest;
      store(w.logits + c * lanes, logit);
      top = top < logit ? logit : top;
    }
    Vec<T> total = {};
    for (int64_t c = 0; c < w.width; ++c) {
      const Vec<T> weight = exponential(load(w.logits + c * lanes) - top);
      store(w.logits + c * lanes, weight);
      total += weight;
    }
    // A window without a valid key has top = -inf and NaN weights; its query is masked too.
    const auto kept = (IntVec)load(reinterpret_cast<const T*>(query_keep + i));
    const Vec<T> inverse = T(1) / total;
    for (int64_t c = 0; c < w.width; ++c) {
      const Vec<T> weight = load(w.logits + c * lanes) * inverse;
      store(w.logits + c * lanes, (Vec<T>)((IntVec)weight & kept));
    }
    band_apply(w.width, w.logits, lanes, w.value.from(i), w.query.from(i));
    const Vec<T> log_total = top + logarithm(total);
    store_first(lse + first + i, kept ? log_total : -lowest, args.steps - first - i);
  }
  unpack(w.query, first, columns, query_keep, T(1), select<E>(args.out, args, tile));
}

template <typename E>
void attention_backward_of(const AttentionArgs& args, int64_t columns, Tile tile, void* scratch) {
  using T = Compute<E>;
  using IntVec = typename Simd<T>::IntVec;
  constexpr int64_t lanes = Simd<T>::lanes;
  const BackwardTile<T> w(args, columns, scratch);
  const int64_t first = tile.first, radius = args.radius, first_query = first - w.halo;
  const bool* mask = args.mask ? args.mask + tile.n * args.steps : nullptr;
  const T scale = T(1) / __builtin_sqrt(T(args.dims));
  const T* lse = static_cast<const T*>(args.lse) + (tile.n * args.heads + tile.h) * args.steps;

  pack_mask(mask, args.steps, first_query - radius, w.span, w.keep);
  const auto* query_keep = w.keep + radius;
  const auto* keep = query_keep + w.halo;
  pack(select<const E>(args.query, args, tile), first_query, w.queries, query_keep, scale, w.query);
  pack(select<const E>(args.grad, args, tile), first_query, w.queries, query_keep, T(1), w.grad);
  pack(select<const E>(args.key, args, tile), first_query - radius, w.span, w.keep, T(1), w.key);
  pack(select<const E>(args.value, args, tile), first_query - radius, w.span, w.keep, T(1), w.value);
  for (int64_t i = 0; i < w.queries; ++i) w.lse[i] = query_keep[i] ? lse[first_query + i] : T(__builtin_inff());

  for (int64_t i = 0; i < w.queries; i += lanes) {
    T *weights = w.weights + i, *grads = w.grads + i;
    if (first_query + i + lanes <= 0 || first_query + i >= args.steps) {
      for (int64_t c = 0; c < w.width; ++c) {
        store(weights + c * w.queries, Vec<T>{});
        store(grads + c * w.queries, Vec<T>{});
      }
      continue;
    }
    band_dot(w.width, w.query.from(i), w.key.from(i), weights, w.queries);
    band_dot(w.width, w.grad.from(i), w.value.from(i), grads, w.queries);
    const Vec<T> log_total = load(w.lse + i);
    Vec<T> mean = {};
    for (int64_t c = 0; c < w.width; ++c) {
      const auto kept = (IntVec)load(reinterpret_cast<const T*>(w.keep + i + c));
      const Vec<T> weight = exponential(load(weights + c * w.queries) - log_total);
      store(weights + c * w.queries, (Vec<T>)((IntVec)weight & kept));
      mean += (Vec<T>)((IntVec)weight & kept) * load(grads + c * w.queries);
    }
    for (int64_t c = 0; c < w.width; ++c)
      store(grads + c * w.queries, load(weights + c * w.queries) * (load(grads + c * w.queries) - mean));
  }

  const auto write = [&](auto&& apply, const UntypedHeads& target, T factor) {
    if (target.data == nullptr) return;
    for (int64_t i = 0; i < columns && first + i < args.steps; i += lanes) apply(i, w.out.from(i));
    unpack(w.out, first, columns, keep, factor, select<E>(target, args, tile));
  };
  write(
      [&](int64_t i, Rows<T> out) {
        band_apply(w.width, w.grads + w.halo + i, w.queries, w.key.from(w.halo + i), out);
      },
      args.grad_query, scale);
  // Key j is offset -r of query j + r: along the band's other diagonal.
  const int64_t diagonal = 1 - w.queries, start = w.halo - radius;
  const int64_t corner = (w.width - 1) * w.queries + start;
  write(
      [&](int64_t i, Rows<T> out) {
        band_apply(w.width, w.grads + corner + i, diagonal, w.query.from(start + i), out);
      },
      args.grad_key, T(1));
  write(
      [&](int64_t i, Rows<T> out) {
        band_apply(w.width, w.weights + corner + i, diagonal, w.grad.from(start + i), out);
      },
      args.grad_value, T(1));
}

template <typename F>
auto with_element_type(Dtype dtype, F f) {
  switch (dtype) {
    case Dtype::Double: return f(double{});
    case Dtype::Half: return f(Half{});
    case Dtype::BFloat16: return f(BFloat16{});
    default: return f(float{});
  }
}
