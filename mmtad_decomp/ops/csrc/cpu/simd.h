// Vectors of the instruction set that this file is compiled for, by the compiler's own vector
// types. Included inside that instruction set's namespace (see kernels_avx512.cpp); MMTAD_BYTES
// is the width of its registers: 64 with AVX-512, 32 with AVX2. It is asked here, and not macros like
// __AVX2__, which GCC does not define behind its target pragma.

// For what is large or rare: inlined into all that calls it, it would double the compiler's time.
#define MMTAD_ONCE __attribute__((noinline))

constexpr int64_t at_least(int64_t x, int64_t bound) { return x < bound ? bound : x; }
constexpr int64_t at_most(int64_t x, int64_t bound) { return x < bound ? x : bound; }
constexpr int64_t round_up(int64_t x, int64_t multiple) { return (x + multiple - 1) / multiple * multiple; }

template <typename T>
struct Simd {
  static constexpr int64_t lanes = MMTAD_BYTES / sizeof(T);
  using Int = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  typedef T Vec __attribute__((vector_size(MMTAD_BYTES)));
  typedef Int IntVec __attribute__((vector_size(MMTAD_BYTES)));
  typedef T Unaligned __attribute__((vector_size(MMTAD_BYTES), aligned(sizeof(T)), may_alias));
  using Lanes = std::make_integer_sequence<Int, lanes>;
};

template <typename T>
using Vec = typename Simd<T>::Vec;

template <typename T>
inline Vec<T> load(const T* p) {
  return *reinterpret_cast<const typename Simd<T>::Unaligned*>(p);
}

template <typename T>
inline void store(T* p, Vec<T> x) {
  *reinterpret_cast<typename Simd<T>::Unaligned*>(p) = x;
}

template <typename T>
inline Vec<T> fill(T x) {
  return x - Vec<T>{};
}

// e^x to a few units in the last place: 0 below -87 (no denormals), NaN for NaN.
inline Vec<float> exponential(Vec<float> x) {
  const Vec<float> top = fill(88.0f);
  const Vec<float> clamped = x > top ? top : x;
  const Vec<float> shifter = fill(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const Vec<float> shifted = clamped * 1.44269504f + shifter;
  const Vec<float> n = shifted - shifter;
  const Vec<float> r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;  // ln(2) in two parts
  // The Taylor series to the seventh power; |r| <= ln(2) / 2.
  Vec<float> p = r * (1.0f / 5040) + (1.0f / 720);
  p = p * r + (1.0f / 120);
  p = p * r + (1.0f / 24);
  p = p * r + (1.0f / 6);
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const auto exponent = (Simd<float>::IntVec)shifted - 0x4b400000 + 127;
  const Vec<float> result = p * (Vec<float>)(exponent << 23);
  return x < fill(-87.0f) ? Vec<float>{} : result;
}

inline Vec<double> exponential(Vec<double> x) {
  for (int64_t i = 0; i < Simd<double>::lanes; ++i) x[i] = __builtin_exp(x[i]);
  return x;
}

// ln(x) of a normal positive x or NaN: the exponent, and the series of atanh for the mantissa.
inline Vec<float> logarithm(Vec<float> x) {
  using IntVec = Simd<float>::IntVec;
  const IntVec exponent = ((IntVec)x - 0x3f3504f3) >> 23;  // mantissa in [sqrt(1/2), sqrt(2))
  const Vec<float> m = (Vec<float>)((IntVec)x - (exponent << 23));
  const Vec<float> s = (m - 1.0f) / (m + 1.0f), s2 = s * s;
  const Vec<float> series = ((s2 * (1.0f / 9) + 1.0f / 7) * s2 + 1.0f / 5) * s2 + 1.0f / 3;
  const Vec<float> mantissa = 2.0f * s + 2.0f * s * s2 * series;
  const Vec<float> result = __builtin_convertvector(exponent, Vec<float>) * 0.693147181f + mantissa;
  return x == x ? result : x;
}

inline Vec<double> logarithm(Vec<double> x) {
  for (int64_t i = 0; i < Simd<double>::lanes; ++i) x[i] = __builtin_log(x[i]);
  return x;
}

// 1 / (1 + e^-x), without denormals.
template <typename T>
inline Vec<T> sigmoid(Vec<T> x) {
  const Vec<T> top = fill(T(86));
  const Vec<T> negated = -x > top ? top : -x;
  return T(1) / (T(1) + exponential(negated));
}

#if __has_builtin(__builtin_shufflevector)
#define MMTAD_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define MMTAD_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, typename Simd<T>::IntVec{__VA_ARGS__})
#endif

// a0 b0 a1 b1 ... of the lower halves, or of the upper ones.
template <typename T, bool upper, typename Int, Int... lane>
inline Vec<T> interleave(Vec<T> a, Vec<T> b, std::integer_sequence<Int, lane...>) {
  constexpr Int lanes = Simd<T>::lanes, first = upper ? lanes / 2 : 0;
  return MMTAD_SHUFFLE(a, b, (first + lane / 2 + (lane % 2) * lanes)...);
}

template <typename T, int distance, typename Int, Int... lane>
inline Vec<T> exchange(Vec<T> x, std::integer_sequence<Int, lane...>) {
  return MMTAD_SHUFFLE(x, x, (lane ^ distance)...);
}

#undef MMTAD_SHUFFLE

// f over all lanes, in every lane.
template <typename T, int distance = Simd<T>::lanes / 2, typename F>
inline Vec<T> across(Vec<T> x, F f) {
  x = f(x, exchange<T, distance>(x, typename Simd<T>::Lanes{}));
  if constexpr (distance > 1) x = across<T, distance / 2>(x, f);
  return x;
}

// Transposes a square of vectors: log2(lanes) perfect shuffles of its rows.
template <typename T>
inline void transpose(Vec<T>* rows) {
  constexpr int64_t lanes = Simd<T>::lanes;
  const typename Simd<T>::Lanes sequence;
#pragma GCC unroll 4
  for (int64_t round = 1; round < lanes; round *= 2) {
    Vec<T> next[lanes];
#pragma GCC unroll 8
    for (int64_t i = 0; i < lanes / 2; ++i) {
      next[2 * i] = interleave<T, false>(rows[i], rows[i + lanes / 2], sequence);
      next[2 * i + 1] = interleave<T, true>(rows[i], rows[i + lanes / 2], sequence);
    }
#pragma GCC unroll 16
    for (int64_t i = 0; i < lanes; ++i) rows[i] = next[i];
  }
}

// ---- What tensors hold, and the type that it is computed in ----

struct Half {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

template <typename E>
struct ComputeType {
  using type = float;
};
template <>
struct ComputeType<double> {
  using type = double;
};
template <typename E>
using Compute = typename ComputeType<E>::type;

typedef uint16_t Bits16 __attribute__((vector_size(MMTAD_BYTES / 2)));
typedef uint16_t UnalignedBits16 __attribute__((vector_size(MMTAD_BYTES / 2), aligned(2), may_alias));
typedef uint32_t Bits32 __attribute__((vector_size(MMTAD_BYTES)));

inline Vec<float> load_as(const float* p) { return load(p); }
inline Vec<double> load_as(const double* p) { return load(p); }
inline void store_as(float* p, Vec<float> x) { store(p, x); }
inline void store_as(double* p, Vec<double> x) { store(p, x); }

inline Vec<float> load_as(const BFloat16* p) {
  const Bits16 bits = *reinterpret_cast<const UnalignedBits16*>(p);
  return (Vec<float>)(__builtin_convertvector(bits, Bits32) << 16);
}

// Rounds to the nearest, ties to even; NaN stays NaN.
inline void store_as(BFloat16* p, Vec<float> x) {
  const Bits32 bits = (Bits32)x;
  const Bits32 rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const Bits32 result = x == x ? rounded : rounded * 0 + 0x7fc0;
  *reinterpret_cast<UnalignedBits16*>(p) = __builtin_convertvector(result, Bits16);
}

#if MMTAD_BYTES == 64
inline Vec<float> load_as(const Half* p) {
  return (Vec<float>)_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline void store_as(Half* p, Vec<float> x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph((__m512)x, 0));
}
#elif MMTAD_BYTES == 32
inline Vec<float> load_as(const Half* p) {
  return (Vec<float>)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline void store_as(Half* p, Vec<float> x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph((__m256)x, 0));
}
#else
// Scaling by 2^112 moves a half's exponent to a float's, denormals included.
inline Vec<float> load_as(const Half* p) {
  const Bits16 narrow = *reinterpret_cast<const UnalignedBits16*>(p);
  const Bits32 bits = __builtin_convertvector(narrow, Bits32);
  const Bits32 magnitude = (bits & 0x7fff) << 13;
  const Vec<float> scaled = (Vec<float>)magnitude * 5.192296858534828e33f;
  const Bits32 special = magnitude | 0x7f800000;  // infinity and NaN
  const Bits32 value = (bits & 0x7c00) == 0x7c00 ? special : (Bits32)scaled;
  return (Vec<float>)(value | ((bits & 0x8000) << 16));
}
inline void store_as(Half* p, Vec<float> x) {
  const Bits32 bits = (Bits32)x, sign = (bits >> 16) & 0x8000;
  const Vec<float> size = (Vec<float>)(bits & 0x7fffffff);
  // Normal halves: round the mantissa to ten bits. Denormal ones: adding 0.5 rounds to 2^-24.
  const Bits32 normal = ((Bits32)size - 0x38000000 + 0xfff + (((Bits32)size >> 13) & 1)) >> 13;
  const Bits32 denormal = (Bits32)(size + 0.5f) - 0x3f000000;
  Bits32 result = size < fill(6.103515625e-5f) ? denormal : normal;
  result = size < fill(65520.0f) ? result : result * 0 + 0x7c00;
  result = x == x ? result : result * 0 + 0x7e00;
  *reinterpret_cast<UnalignedBits16*>(p) = __builtin_convertvector(result | sign, Bits16);
}
#endif

template <typename E>
MMTAD_ONCE Vec<Compute<E>> load_part(const E* p, int64_t first, int64_t size) {
  constexpr int64_t lanes = Simd<Compute<E>>::lanes;
  E part[lanes] = {};
  for (int64_t i = at_least(-first, 0); i < at_most(lanes, size - first); ++i) part[i] = p[first + i];
  return load_as(part);
}

template <typename E>
MMTAD_ONCE void store_part(E* p, Vec<Compute<E>> x, int64_t count) {
  E whole[Simd<Compute<E>>::lanes];
  store_as(whole, x);
  for (int64_t i = 0; i < count; ++i) p[i] = whole[i];
}

// A vector from p[first] on of what lies at p[0, size); zeros for the rest, which is not read.
template <typename E>
inline Vec<Compute<E>> load_within(const E* p, int64_t first, int64_t size) {
  const bool whole = first >= 0 && first + Simd<Compute<E>>::lanes <= size;
  return whole ? load_as(p + first) : load_part(p, first, size);
}

// Zeros where `kept` has zeros, whatever x is.
template <typename V, typename IntVec>
V only(V x, IntVec kept) {
  return (V)((IntVec)x & kept);
}

// load_within, with zeros where `kept` has zeros, which it has for all that is not in p[0, size).
template <typename E>
inline Vec<Compute<E>> load_kept(const E* p, int64_t first, int64_t size, typename Simd<Compute<E>>::IntVec kept) {
  return only(load_within(p, first, size), kept);
}
#if MMTAD_BYTES == 64
inline Vec<float> load_kept(const float* p, int64_t first, int64_t, Simd<float>::IntVec kept) {
  return (Vec<float>)_mm512_maskz_loadu_ps(_mm512_movepi32_mask((__m512i)kept), p + first);
}
inline Vec<double> load_kept(const double* p, int64_t first, int64_t, Simd<double>::IntVec kept) {
  return (Vec<double>)_mm512_maskz_loadu_pd(_mm512_movepi64_mask((__m512i)kept), p + first);
}
#elif MMTAD_BYTES == 32
inline Vec<float> load_kept(const float* p, int64_t first, int64_t, Simd<float>::IntVec kept) {
  return (Vec<float>)_mm256_maskload_ps(p + first, (__m256i)kept);
}
inline Vec<double> load_kept(const double* p, int64_t first, int64_t, Simd<double>::IntVec kept) {
  return (Vec<double>)_mm256_maskload_pd(p + first, (__m256i)kept);
}
#endif

// The first `count` elements; zeros behind them.
template <typename E>
inline Vec<Compute<E>> load_first(const E* p, int64_t count) {
  return count >= Simd<Compute<E>>::lanes ? load_as(p) : load_part(p, 0, count);
}

template <typename E>
inline void store_first(E* p, Vec<Compute<E>> x, int64_t count) {
  if (count >= Simd<Compute<E>>::lanes)
    store_as(p, x);
  else
    store_part(p, x, count);
}
