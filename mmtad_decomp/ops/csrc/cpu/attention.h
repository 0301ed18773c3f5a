// Sliding-window attention of one tile of steps. Included inside an instruction set's namespace.
//
// Everything the forward and backward pass need are two products with a band, a matrix of which row
// i holds the offsets 0 ... w - 1 of step i to the steps of its window:
//   band_dot:   s[i][c] = sum_d a[i][d] * b[i + c][d]
//   band_apply: o[i][d] = sum_c s[i][c] * x[i + c][d]
// Both take blocks of kBlock rows, whose windows share nearly all of their steps, and keep the sums
// in registers. What band_dot loads as vectors is packed by channel, what band_apply loads by step.

constexpr int64_t kBlock = MMTAD_BYTES == 64 ? 8 : 4;
constexpr int64_t kVectors = 3;  // Vectors of sums per row of a block.
constexpr int64_t kGroup = 64;   // Steps whose rows are packed, and whose band is held, at once.

template <typename T>
struct Rows {
  T* data;
  int64_t stride, dims;  // dims: channels, in whole vectors
  Rows at(int64_t row, int64_t column) const { return {data + row * stride + column, stride, dims}; }
};

// A band, or its transpose: the weight of row i and step i + c of x is data[i * row + (i + c) * step].
template <typename T>
struct Weights {
  const T* data;
  int64_t row, step;
  Weights at(int64_t i) const { return {data + i * (row + step), row, step}; }
};

// Calls f(first, size) for nearly equal parts of at most `most`; size is an integral_constant.
template <int64_t most, typename F>
inline void for_parts(int64_t count, F f) {
  const int64_t parts = (count + most - 1) / most, size = (count + parts - 1) / parts;
  for (int64_t first = 0; first < count; first += size) {
    const int64_t rest = at_most(size, count - first);
    if (rest == 1) f(first, std::integral_constant<int, 1>{});
    if (rest == 2) f(first, std::integral_constant<int, 2>{});
    if (rest == 3) f(first, std::integral_constant<int, 3>{});
  }
  static_assert(most == 3);
}

template <int rows, int vectors, typename T>
void dot_block(Rows<T> a, Rows<T> b, T* out, int64_t out_stride) {
  constexpr int64_t lanes = Simd<T>::lanes;
  Vec<T> sums[rows][vectors] = {};
  for (int64_t d = 0; d < b.dims; ++d) {
    Vec<T> y[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) y[v] = load(b.data + d * b.stride + v * lanes);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      const T x = a.data[r * a.stride + d];
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sums[r][v] += x * y[v];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) store(out + r * out_stride + v * lanes, sums[r][v]);
}

// Elements of a row of a band. All rows of a block start at the window of the first one, so row r
// is written from r elements before it on: into what the row before has beyond its window.
template <typename T>
int64_t band_stride(int64_t width) {
  return round_up(width + kBlock - 1, Simd<T>::lanes);
}

// `a` by step, `b` by channel from the first step's window on; `count` rows, a multiple of kBlock.
template <typename T>
MMTAD_ONCE void band_dot(int64_t width, int64_t count, Rows<T> a, Rows<T> b, T* out) {
  constexpr int64_t lanes = Simd<T>::lanes;
  const int64_t stride = band_stride<T>(width);
  for (int64_t i = 0; i < count; i += kBlock)
    for_parts<kVectors>(stride / lanes, [&](int64_t first, auto vectors) {
      dot_block<kBlock, vectors>(a.at(i, 0), b.at(0, i + first * lanes), out + i * stride + first * lanes, stride - 1);
    });
}

template <int rows, int vectors, typename T>
void apply_block(int64_t width, Weights<T> weights, Rows<T> x, Rows<T> out) {
  constexpr int64_t lanes = Simd<T>::lanes;
  Vec<T> sums[rows][vectors] = {};
  // Rows [first, last) take step `step`.
  const auto add = [&](int64_t step, int first, int last) __attribute__((always_inline)) {
    Vec<T> y[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) y[v] = load(x.data + step * x.stride + v * lanes);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      if (r < first || r >= last) continue;
      const T weight = weights.data[r * weights.row + step * weights.step];
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sums[r][v] += weight * y[v];
    }
  };
  // The windows of a block start one after the other, run together, and end one after the other.
#pragma GCC unroll 8
  for (int step = 0; step < rows - 1; ++step) add(step, 0, step + 1);
  for (int64_t step = rows - 1; step < width; ++step) add(step, 0, rows);
#pragma GCC unroll 8
  for (int step = 0; step < rows - 1; ++step) add(width + step, step + 1, rows);
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) store(out.data + r * out.stride + v * lanes, sums[r][v]);
}

// `x` and `out` by step; `count` rows, a multiple of kBlock.
template <typename T>
MMTAD_ONCE void band_apply(int64_t width, int64_t count, Weights<T> weights, Rows<T> x, Rows<T> out) {
  constexpr int64_t lanes = Simd<T>::lanes;
  const auto blocks = [&](auto rows) {
    for (int64_t i = 0; i < count; i += rows)
      for_parts<kVectors>(x.dims / lanes, [&](int64_t first, auto vectors) {
        apply_block<rows, vectors>(width, weights.at(i), x.at(i, first * lanes), out.at(i, first * lanes));
      });
  };
  if (width >= kBlock - 1)
    blocks(std::integral_constant<int, kBlock>{});
  else
    blocks(std::integral_constant<int, 1>{});
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

template <typename Int, typename T = std::conditional_t<sizeof(Int) == 4, float, double>>
typename Simd<T>::IntVec load_mask(const Int* keep) {
  return (typename Simd<T>::IntVec)load(reinterpret_cast<const T*>(keep));
}

enum class Order { ByChannel, ByStep };  // What a row holds: the steps of a channel, or the channels of a step.

template <typename T>
void clear(T* row, int64_t width) {
  for (int64_t c = 0; c < width; ++c) row[c] = 0;
}

// A row of `dims` elements to whole vectors, zeros behind them.
template <typename E, typename T = Compute<E>>
void copy_row(const E* row, int64_t dims, T scale, T* out) {
  constexpr int64_t lanes = Simd<T>::lanes;
  int64_t d = 0;
  for (; d + lanes <= dims; d += lanes) store(out + d, load_as(row + d) * scale);
  if (d < dims) store(out + d, load_first(row + d, dims - d) * scale);
}

// Steps first ... first + span - 1 of a tensor in which the channels of a step lie together.
template <Order order, typename E, typename T = Compute<E>, typename Int = typename Simd<T>::Int>
void pack_steps(const Sequence<const E>& x, int64_t first, int64_t span, const Int* keep, T scale, Rows<T> out) {
  constexpr int64_t lanes = Simd<T>::lanes;
  const auto row_of = [&](int64_t i) { return x.data + (first + i) * x.step; };
  if (order == Order::ByStep) {
    for (int64_t i = 0; i < span; ++i) {
      if (keep[i])
        copy_row(row_of(i), x.dims, scale, out.at(i, 0).data);
      else
        clear(out.at(i, 0).data, out.dims);
    }
    return;
  }
  for (int64_t i = 0; i < span; i += lanes) {
    // Squares read several rows in turn, which the processor does not foresee.
    for (int64_t r = i + lanes; r < at_most(i + 2 * lanes, span) && keep[r]; ++r)
      for (int64_t d = 0; d < x.dims; d += 64 / sizeof(E)) __builtin_prefetch(row_of(r) + d);
    for (int64_t d = 0; d < out.dims; d += lanes) {
      Vec<T> square[lanes];
#pragma GCC unroll 16
      for (int64_t r = 0; r < lanes; ++r)
        square[r] = keep[i + r] ? load_first(row_of(i + r) + d, x.dims - d) * scale : Vec<T>{};
      transpose<T>(square);
#pragma GCC unroll 16
      for (int64_t r = 0; r < lanes; ++r) store(out.at(d + r, i).data, square[r]);
    }
  }
}

// The same of a tensor in which the steps of a channel lie together.
template <Order order, typename E, typename T = Compute<E>, typename Int = typename Simd<T>::Int>
void pack_channels(const Sequence<const E>& x, int64_t first, int64_t span, const Int* keep, T scale, Rows<T> out) {
  constexpr int64_t lanes = Simd<T>::lanes;
  const auto load_row = [&](int64_t d, int64_t i) {
    if (d >= x.dims) return Vec<T>{};
    return load_kept(x.data + d * x.dim, first + i, x.steps, load_mask(keep + i)) * scale;
  };
  // Rows lie far apart, so the processor foresees their steps, not the next row.
  const int64_t begin = at_least(first, 0), end = at_most(first + span, x.steps);
  const auto ask_for = [&](int64_t d) {
    for (int64_t i = begin; i < end; i += 64 / sizeof(E)) __builtin_prefetch(x.data + d * x.dim + i);
  };
  if (order == Order::ByChannel) {
    for (int64_t d = 0; d < at_most(4, x.dims); ++d) ask_for(d);
    for (int64_t d = 0; d < out.dims; ++d) {
      if (d + 4 < x.dims) ask_for(d + 4);
      for (int64_t i = 0; i < span; i += lanes) store(out.at(d, i).data, load_row(d, i));
    }
    return;
  }
  for (int64_t d = 0; d < out.dims; d += lanes) {
    for (int64_t r = d + lanes; r < at_most(d + 2 * lanes, x.dims); ++r) ask_for(r);
    for (int64_t i = 0; i < span; i += lanes) {
      Vec<T> square[lanes];
#pragma GCC unroll 16
      for (int64_t r = 0; r < lanes; ++r) square[r] = load_row(d + r, i);
      transpose<T>(square);
#pragma GCC unroll 16
      for (int64_t r = 0; r < lanes; ++r) store(out.at(i + r, d).data, square[r]);
    }
  }
}

// Steps first ... first + span - 1, whole vectors of them; zeros where keep is 0.
template <Order order, typename E, typename T = Compute<E>, typename Int = typename Simd<T>::Int>
MMTAD_ONCE void pack(const Sequence<const E>& x, int64_t first, int64_t span, const Int* keep, T scale, Rows<T> out) {
  if (x.dim == 1)
    pack_steps<order>(x, first, span, keep, scale, out);
  else
    pack_channels<order>(x, first, span, keep, scale, out);
}

// A factor of each step, or one of all.
template <typename T>
struct Factors {
  const T* data;
  bool of_steps;
  T operator[](int64_t i) const { return data[of_steps ? i : 0]; }
};

// The inverse of pack by step, with a factor, for steps first ... first + span - 1 that exist; zeros where keep is 0.
template <typename E, typename T = Compute<E>, typename Int = typename Simd<T>::Int>
MMTAD_ONCE void unpack(
    Rows<T> in, int64_t first, int64_t span, const Int* keep, Factors<T> factors, const Sequence<E>& x) {
  constexpr int64_t lanes = Simd<T>::lanes;
  const int64_t steps = at_most(span, x.steps - first);
  const auto load_row = [&](int64_t i, int64_t d, T scale) {
    return keep[i] ? load(in.at(i, d).data) * scale : Vec<T>{};
  };
  if (x.dim == 1) {
    for (int64_t i = 0; i < steps; ++i) {
      E* row = x.data + (first + i) * x.step;
      const T scale = factors[i];
      for (int64_t d = 0; d < x.dims; d += lanes) store_first(row + d, load_row(i, d, scale), x.dims - d);
    }
    return;
  }
  for (int64_t d = 0; d < x.dims; d += lanes)
    for (int64_t i = 0; i < steps; i += lanes) {
      Vec<T> square[lanes];
#pragma GCC unroll 16
      for (int64_t r = 0; r < lanes; ++r) square[r] = load_row(i + r, d, factors[i + r]);
      transpose<T>(square);
      for (int64_t r = 0; r < at_most(lanes, x.dims - d); ++r)
        store_first(x.data + (d + r) * x.dim + first + i, square[r], steps - i);
    }
}

// The scratch memory of a tile.
template <typename T>
struct Workspace {
  int64_t dims;  // In whole vectors.
  char* next;
  int64_t used = 0;

  template <typename U>
  U* take(int64_t count) {
    U* p = reinterpret_cast<U*>(next + used);
    used += round_up(count * sizeof(U), 64);
    return p;
  }
  Rows<T> by_step(int64_t steps) { return {take<T>(steps * dims), dims, dims}; }
  // Rows end on odd numbers of cache lines, so that those of a column do not share a place in the cache.
  Rows<T> by_channel(int64_t steps) {
    const int64_t lines = (steps * sizeof(T) + 63) / 64 | 1, stride = lines * 64 / sizeof(T);
    return {take<T>(dims * stride), stride, dims};
  }
};

// What the tiles of all passes share: `own` steps, and `around` those of their windows, with what
// the last block's rows have beyond these.
template <typename T>
struct TileShape {
  using Int = typename Simd<T>::Int;
  using IntVec = typename Simd<T>::IntVec;
  static constexpr int64_t lanes = Simd<T>::lanes, unit = at_least(Simd<T>::lanes, kBlock);
  int64_t radius, width, stride, own, around;
  T scale;
  Workspace<T> space;

  TileShape(const AttentionArgs& args, int64_t own_steps, void* scratch)
      : radius(args.radius),
        width(2 * args.radius + 1),
        stride(band_stride<T>(width)),
        own(round_up(own_steps, unit)),
        around(round_up(own + 2 * radius, lanes) + lanes),
        scale(T(1) / __builtin_sqrt(T(args.dims))),
        space{round_up(args.dims, lanes), static_cast<char*>(scratch)} {}

  // The part of a band's row that its window has, from offset c on.
  IntVec inside(int64_t c) const {
    IntVec index{};
    for (int64_t i = 0; i < lanes; ++i) index[i] = Int(i);
    return index < Int(at_most(width - c, lanes));
  }
};

template <typename T>
struct ForwardTile : TileShape<T> {
  Rows<T> key, value, query, out;
  typename Simd<T>::Int* keep;
  T* weights;

  ForwardTile(const AttentionArgs& args, int64_t tile, void* scratch)
      : TileShape<T>(args, tile, scratch),
        key(this->space.by_channel(this->around)),
        value(this->space.by_step(this->around)),
        query(this->space.by_step(kGroup)),
        out(this->space.by_step(kGroup)),
        keep(this->space.template take<typename Simd<T>::Int>(this->around)),
        weights(this->space.template take<T>(kGroup * this->stride)) {}
};

// Logits, over the steps that `keep` has, to their exponentials, divided by that of the largest one.
template <typename T>
MMTAD_ONCE void exponentials(
    const TileShape<T>& shape, const typename Simd<T>::Int* keep, T* row, T& largest, T& total) {
  constexpr int64_t lanes = Simd<T>::lanes;
  const Vec<T> lowest = fill(-T(__builtin_inff()));
  Vec<T> top = lowest, sum = {};
  for (int64_t c = 0; c < shape.width; c += lanes) {
    const Vec<T> logit = load_mask(keep + c) & shape.inside(c) ? load(row + c) : lowest;
    store(row + c, logit);
    top = top < logit ? logit : top;
  }
  top = across<T>(top, [](Vec<T> a, Vec<T> b) { return a < b ? b : a; });
  for (int64_t c = 0; c < shape.width; c += lanes) {
    const Vec<T> weight = exponential(load(row + c) - top);
    store(row + c, weight);
    sum += weight;
  }
  largest = top[0];
  total = across<T>(sum, [](Vec<T> a, Vec<T> b) { return a + b; })[0];
}

// Calls f(group, count) for groups of a tile's steps that exist; count is in whole units.
template <typename T, typename F>
void for_groups(const TileShape<T>& shape, int64_t existing, F f) {
  const int64_t steps = at_most(shape.own, round_up(existing, shape.unit));
  for (int64_t group = 0; group < steps; group += kGroup) f(group, at_most(kGroup, steps - group));
}

template <typename E>
void attention_forward_of(const AttentionArgs& args, int64_t columns, Tile tile, void* scratch) {
  using T = Compute<E>;
  const ForwardTile<T> w(args, columns, scratch);
  const int64_t start = tile.first - w.radius;
  const bool* mask = args.mask ? args.mask + tile.n * args.steps : nullptr;
  T* lse = static_cast<T*>(args.lse) + (tile.n * args.heads + tile.h) * args.steps + tile.first;

  pack_mask(mask, args.steps, start, w.around, w.keep);
  pack<Order::ByChannel>(select<const E>(args.key, args, tile), start, w.around, w.keep, T(1), w.key);
  pack<Order::ByStep>(select<const E>(args.value, args, tile), start, w.around, w.keep, T(1), w.value);
  const auto query = select<const E>(args.query, args, tile);
  const auto out = select<E>(args.out, args, tile);
  for_groups(w, args.steps - tile.first, [&](int64_t group, int64_t count) {
    const auto* keep = w.keep + w.radius + group;
    pack<Order::ByStep>(query, tile.first + group, count, keep, w.scale, w.query);
    band_dot(w.width, count, w.query, w.key.at(0, group), w.weights);
    T largest[kGroup], total[kGroup], inverse[kGroup];
    for (int64_t i = 0; i < count; ++i) {
      T* row = w.weights + i * w.stride;
      largest[i] = T(__builtin_inff()), total[i] = 1;
      if (keep[i])
        exponentials(w, w.keep + group + i, row, largest[i], total[i]);
      else
        clear(row, w.width);
    }
    for (int64_t i = 0; i < count && tile.first + group + i < args.steps; i += w.lanes) {
      store(inverse + i, T(1) / load(total + i));
      const Vec<T> log_total = load(largest + i) + logarithm(load(total + i));
      store_first(lse + group + i, log_total, args.steps - tile.first - group - i);
    }
    band_apply(w.width, count, Weights<T>{w.weights, w.stride - 1, 1}, w.value.at(group, 0), w.out);
    unpack(w.out, tile.first + group, count, keep, Factors<T>{inverse, true}, out);
  });
}

// The backward pass's queries are those of the tile's windows, its keys those of the queries' windows.
template <typename T>
struct BackwardTile : TileShape<T> {
  int64_t queries, keys;
  Rows<T> query, grad, key, value, own_key, out;
  typename Simd<T>::Int* keep;
  T *weights, *grads;

  BackwardTile(const AttentionArgs& args, int64_t tile, void* scratch)
      : TileShape<T>(args, tile, scratch),
        queries(round_up(this->own + 2 * this->radius, this->unit)),
        keys(round_up(queries + 2 * this->radius, this->lanes) + this->lanes),
        query(this->space.by_step(queries)),
        grad(this->space.by_step(queries)),
        key(this->space.by_channel(keys)),
        value(this->space.by_channel(keys)),
        own_key(this->space.by_step(this->around)),
        out(this->space.by_step(kGroup)),
        keep(this->space.template take<typename Simd<T>::Int>(keys)),
        weights(this->space.template take<T>(queries * this->stride)),
        grads(this->space.template take<T>(queries * this->stride)) {}
};

// For one query: logits to weights, and the gradients of weights to those of logits. Returns the mean
// of the former gradients, weighted.
template <typename T>
MMTAD_ONCE T
softmax_backward(const TileShape<T>& shape, const typename Simd<T>::Int* keep, T log_total, T* row, T* grads) {
  constexpr int64_t lanes = Simd<T>::lanes;
  Vec<T> mean = {};
  for (int64_t c = 0; c < shape.width; c += lanes) {
    const auto kept = load_mask(keep + c) & shape.inside(c);
    const Vec<T> weight = only(exponential(load(row + c) - log_total), kept);
    store(row + c, weight);
    mean += weight * only(load(grads + c), kept);
  }
  mean = across<T>(mean, [](Vec<T> a, Vec<T> b) { return a + b; });
  for (int64_t c = 0; c < shape.width; c += lanes) {
    const auto kept = load_mask(keep + c) & shape.inside(c);
    store(grads + c, only(load(row + c) * (load(grads + c) - mean), kept));
  }
  return mean[0];
}

template <typename E>
void attention_backward_of(const AttentionArgs& args, int64_t columns, Tile tile, void* scratch) {
  using T = Compute<E>;
  const BackwardTile<T> w(args, columns, scratch);
  const int64_t radius = w.radius, first_query = tile.first - radius, start = first_query - radius;
  const bool* mask = args.mask ? args.mask + tile.n * args.steps : nullptr;
  const T* lse = static_cast<const T*>(args.lse) + (tile.n * args.heads + tile.h) * args.steps;

  pack_mask(mask, args.steps, start, w.keys, w.keep);
  const auto* query_keep = w.keep + radius;
  pack<Order::ByStep>(select<const E>(args.query, args, tile), first_query, w.queries, query_keep, w.scale, w.query);
  pack<Order::ByStep>(select<const E>(args.grad, args, tile), first_query, w.queries, query_keep, T(1), w.grad);
  pack<Order::ByChannel>(select<const E>(args.key, args, tile), start, w.keys, w.keep, T(1), w.key);
  pack<Order::ByChannel>(select<const E>(args.value, args, tile), start, w.keys, w.keep, T(1), w.value);

  const int64_t begin = at_least(-first_query, 0) / w.unit * w.unit;
  const int64_t end = at_most(w.queries, round_up(args.steps - first_query, w.unit));
  band_dot(w.width, end - begin, w.query.at(begin, 0), w.key.at(0, begin), w.weights + begin * w.stride);
  band_dot(w.width, end - begin, w.grad.at(begin, 0), w.value.at(0, begin), w.grads + begin * w.stride);
  for (int64_t i = 0; i < w.queries; ++i) {
    T *row = w.weights + i * w.stride, *grads = w.grads + i * w.stride;
    if (query_keep[i]) {
      softmax_backward(w, w.keep + i, lse[first_query + i], row, grads);
    } else {
      clear(row, w.width);
      clear(grads, w.width);
    }
  }

  const auto write = [&](const UntypedHeads& target, Weights<T> weights, Rows<T> x, T factor) {
    if (target.data == nullptr) return;
    for_groups(w, args.steps - tile.first, [&](int64_t group, int64_t count) {
      band_apply(w.width, count, weights.at(group), x.at(group, 0), w.out);
      const auto* keep = query_keep + radius + group;
      unpack(w.out, tile.first + group, count, keep, Factors<T>{&factor, false}, select<E>(target, args, tile));
    });
  };
  if (args.grad_query.data != nullptr) {
    pack<Order::ByStep>(select<const E>(args.key, args, tile), first_query, w.around, query_keep, T(1), w.own_key);
    write(args.grad_query, {w.grads + radius * w.stride, w.stride - 1, 1}, w.own_key, w.scale);
  }
  // Key j is at offset 2 * radius + j - s of query s, both counted from the first of the tile.
  write(args.grad_key, {w.grads + 2 * radius, 1, w.stride - 1}, w.query, T(1));
  write(args.grad_value, {w.weights + 2 * radius, 1, w.stride - 1}, w.grad, T(1));
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
