// Local attentive fusion of rows (one channel of one sequence each). Included inside an
// instruction set's namespace.

// A row of compute type with zeros on both sides, and its sums over windows.
template <typename T>
struct WindowSums {
  static constexpr int64_t lanes = Simd<T>::lanes;
  int64_t steps, radius;
  bool whole;
  T *padded, *sums;

  static int64_t length(const FusionArgs& args) {
    return round_up(args.steps + 2 * at_most(args.radius, args.steps) + 2 * lanes, lanes);
  }
  static int64_t bytes(const FusionArgs& args) { return 2 * length(args) * sizeof(T); }

  WindowSums(const FusionArgs& args, void* scratch)
      : steps(args.steps),
        radius(args.radius),
        whole(args.radius >= args.steps - 1),
        padded(static_cast<T*>(scratch)),
        sums(padded + length(args)) {}

  // Where the row's steps go before compute().
  T* row() { return padded + (whole ? 0 : radius); }

  // sums[t] = the sum over the window around t. A sum of 2^k steps is one of two halves, so a
  // window costs the logarithm of its width, and no running sum loses digits. Overwrites the row.
  void compute() {
    clear_margins();
    if (whole) {
      Vec<T> total = {};
      for (int64_t t = 0; t < steps; t += lanes) total += load(padded + t);
      const Vec<T> all = across<T>(total, [](Vec<T> a, Vec<T> b) { return a + b; });
      for (int64_t t = 0; t < steps; t += lanes) store(sums + t, all);
      return;
    }
    const int64_t width = 2 * radius + 1, span = steps + 2 * radius;
    for (int64_t t = 0; t < steps; t += lanes) store(sums + t, load(padded + t));  // width is odd
    for (int64_t half = 1, done = 1; done < width; half *= 2) {
      const int64_t end = span - 2 * half + 1;
      for (int64_t i = 0; i < end; i += lanes) store(padded + i, load(padded + i) + load(padded + i + half));
      if (!(width & (2 * half))) continue;
      for (int64_t t = 0; t < steps; t += lanes) store(sums + t, load(sums + t) + load(padded + t + done));
      done += 2 * half;
    }
  }

  // compute() of a row, without the steps where `inverse` is 0.
  template <typename E>
  void sum_valid(const E* x, const T* inverse) {
    for (int64_t t = 0; t < steps; t += lanes) {
      const Vec<T> scale = load_first(inverse + t, steps - t);
      store(row() + t, scale > Vec<T>{} ? load_first(x + t, steps - t) : Vec<T>{});
    }
    compute();
  }

 private:
  // Zeros around the row.
  void clear_margins() {
    const int64_t left = whole ? 0 : radius;
    for (int64_t i = 0; i < left; ++i) padded[i] = 0;
    for (int64_t i = left + steps; i < steps + 2 * left + lanes; ++i) padded[i] = 0;
  }
};

template <typename E>
void fusion_forward_of(const FusionArgs& args, int64_t begin, int64_t end, void* scratch) {
  using T = Compute<E>;
  constexpr int64_t lanes = Simd<T>::lanes;
  WindowSums<T> window(args, scratch);
  const Vec<T> residual = fill(T(args.residual));
  for (int64_t row = begin; row < end; ++row) {
    const int64_t at = row * args.steps;
    const T* inverse = static_cast<const T*>(args.inverse) + row / args.channels * args.steps;
    const auto *value = static_cast<const E*>(args.value) + at, *query = static_cast<const E*>(args.query) + at,
               *key = static_cast<const E*>(args.key) + at;
    E* out = static_cast<E*>(args.out) + at;
    window.sum_valid(query, inverse);
    for (int64_t t = 0; t < args.steps; t += lanes) {
      const int64_t count = args.steps - t;
      const Vec<T> scale = load_first(inverse + t, count);
      const Vec<T> gate = sigmoid<T>(load(window.sums + t) * scale * load_first(key + t, count));
      const Vec<T> gated = load_first(value + t, count) * (gate + residual);
      store_first(out + t, scale > Vec<T>{} ? gated : Vec<T>{}, count);
    }
  }
}

template <typename E>
void fusion_backward_of(const FusionArgs& args, int64_t begin, int64_t end, void* scratch) {
  using T = Compute<E>;
  constexpr int64_t lanes = Simd<T>::lanes;
  WindowSums<T> window(args, scratch);
  const Vec<T> residual = fill(T(args.residual)), zero = {};
  for (int64_t row = begin; row < end; ++row) {
    const int64_t at = row * args.steps;
    const T* inverse = static_cast<const T*>(args.inverse) + row / args.channels * args.steps;
    const auto *value = static_cast<const E*>(args.value) + at, *query = static_cast<const E*>(args.query) + at,
               *key = static_cast<const E*>(args.key) + at, *grad = static_cast<const E*>(args.grad) + at;
    const auto target = [&](void* x) { return x == nullptr ? nullptr : static_cast<E*>(x) + at; };
    E *grad_value = target(args.grad_value), *grad_query = target(args.grad_query), *grad_key = target(args.grad_key);
    window.sum_valid(query, inverse);
    for (int64_t t = 0; t < args.steps; t += lanes) {
      const int64_t count = args.steps - t;
      const Vec<T> scale = load_first(inverse + t, count), mean = load(window.sums + t) * scale;
      const Vec<T> k = load_first(key + t, count), g = load_first(grad + t, count);
      const Vec<T> gate = sigmoid<T>(mean * k);
      const Vec<T> slope = g * load_first(value + t, count) * gate * (T(1) - gate);
      if (grad_value) store_first(grad_value + t, scale > zero ? g * (gate + residual) : zero, count);
      if (grad_key) store_first(grad_key + t, scale > zero ? slope * mean : zero, count);
      store(window.row() + t, scale > zero ? slope * k * scale : zero);
    }
    if (grad_query == nullptr) continue;
    window.compute();
    for (int64_t t = 0; t < args.steps; t += lanes) {
      const int64_t count = args.steps - t;
      const Vec<T> scale = load_first(inverse + t, count);
      store_first(grad_query + t, scale > zero ? load(window.sums + t) : zero, count);
    }
  }
}

inline int64_t fusion_scratch(const FusionArgs& args) {
  return with_element_type(
      args.dtype, [&](auto element) { return WindowSums<Compute<decltype(element)>>::bytes(args); });
}

inline void fusion_forward(const FusionArgs& args, int64_t begin, int64_t end, void* scratch) {
  with_element_type(args.dtype, [&](auto element) { fusion_forward_of<decltype(element)>(args, begin, end, scratch); });
}

inline void fusion_backward(const FusionArgs& args, int64_t begin, int64_t end, void* scratch) {
  with_element_type(
      args.dtype, [&](auto element) { fusion_backward_of<decltype(element)>(args, begin, end, scratch); });
}
