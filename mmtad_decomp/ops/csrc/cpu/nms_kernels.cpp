#include "cpu/nms_kernels.h"

#include <limits>

// A fused multiply-add would round differently from the plain formula.
#if defined(__clang__)
#pragma clang fp contract(off)
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__)
#define MMTAD_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define MMTAD_CLONES
#endif
#define MMTAD_INLINE inline __attribute__((always_inline))

namespace mmtad {
namespace {

typedef double Block __attribute__((vector_size(kLanes * sizeof(double))));
typedef int64_t Integers __attribute__((vector_size(kLanes * sizeof(int64_t))));
typedef double Unaligned __attribute__((vector_size(kLanes * sizeof(double)), aligned(sizeof(double)), may_alias));

MMTAD_INLINE Block load(const double* p) { return *reinterpret_cast<const Unaligned*>(p); }
MMTAD_INLINE void store(double* p, Block x) { *reinterpret_cast<Unaligned*>(p) = x; }
MMTAD_INLINE Block fill(double x) { return x - Block{}; }
MMTAD_INLINE double sum(Block x) {
  double total = 0;
  for (int64_t i = 0; i < kLanes; ++i) total += x[i];
  return total;
}

// A segment in every lane, against which the blocks are held.
struct BroadcastSegment {
  Block start, end, length;
  MMTAD_INLINE BroadcastSegment(double first, double last)
      : start(fill(first)), end(fill(last)), length(fill(last - first)) {}
};

// The operations of mmtad_decomp.structures.pairwise_tiou, in their order. Where the union has no
// length the intersection has none, so dividing by 1 gives 0.
MMTAD_INLINE Block tiou(const BroadcastSegment& one, Block start, Block end) {
  const Block zero{}, ones = fill(1);
  const Block last_start = one.start > start ? one.start : start;
  const Block first_end = one.end < end ? one.end : end;
  Block inter = first_end - last_start;
  inter = inter > zero ? inter : zero;
  const Block whole = one.length + (end - start) - inter;
  return inter / (whole > zero ? whole : ones);
}

// Slightly above e^-x for x >= 0: by at most 2e-5 of it up to x = 700.
MMTAD_INLINE Block exponential_bound(Block x) {
  const Block largest = fill(700), shifter = fill(6755399441055744.0);  // 1.5 * 2^52: rounds to an integer
  const Block power = (x < largest ? x : largest) * -1.4426950408889634;
  const Block shifted = power + shifter;
  const Block r = (power - (shifted - shifter)) * 0.6931471805599453;
  Block p = r * (1.0 / 120) + 1.0 / 24;  // the series to r^5; the next term is below 2.5e-6
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = (p * r + 1.0) * (1 + 1e-5);
  return (Block)((Integers)p + ((Integers)shifted << 52));
}

// value = f(value, tiou) for every taken segment in turn, a block at a time.
template <typename F>
MMTAD_INLINE void update(TakenSegments taken, Slots slots, double* value, F f) {
  for (int64_t block = 0; block < slots.count; block += kLanes) {
    const Block start = load(slots.start + block), end = load(slots.end + block);
    Block current = load(value + block);
    for (int64_t k = 0; k < taken.count; ++k) {
      current = f(current, tiou(BroadcastSegment(taken.start[k], taken.end[k]), start, end));
    }
    store(value + block, current);
  }
}

}  // namespace

MMTAD_CLONES bool all_finite(const double* data, int64_t count) {
  Block zeros{};  // x * 0 is NaN where x is not finite, and a NaN stays
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) zeros += load(data + i) * 0.0;
  double zero = sum(zeros);
  for (; i < count; ++i) zero += data[i] * 0;
  return zero == 0;
}

MMTAD_CLONES void decay_gaussian(
    TakenSegments taken, Slots slots, const double* score, double inverse_sigma, double* sum, double* key) {
  update(taken, slots, sum, [](Block x, Block t) __attribute__((always_inline)) { return x + t * t; });
  for (int64_t block = 0; block < slots.count; block += kLanes) {
    const Block bound = load(score + block) * exponential_bound(load(sum + block) * inverse_sigma);
    const Block before = load(key + block);
    store(key + block, bound < before ? bound : before);
  }
}

MMTAD_CLONES void decay_linearly(TakenSegments taken, Slots slots, double threshold, double* key) {
  update(taken, slots, key, [=](Block x, Block t) __attribute__((always_inline)) {
    const Block decayed = x * (t >= fill(threshold) ? fill(1) - t : fill(1));
    return x > Block{} ? decayed : x;  // -infinity * 0 would be NaN
  });
}

MMTAD_CLONES void suppress(TakenSegments taken, Slots slots, double threshold, double* key) {
  update(taken, slots, key, [=](Block x, Block t) __attribute__((always_inline)) {
    return t >= fill(threshold) ? fill(-std::numeric_limits<double>::infinity()) : x;
  });
}

MMTAD_CLONES int64_t first_largest(const double* key, int64_t count) {
  Block largest = load(key);
  Integers where{};  // the block that a lane's largest is in
  for (int64_t block = kLanes; block < count; block += kLanes) {
    const Block other = load(key + block);
    const Integers larger = other > largest;
    largest = larger ? other : largest;
    where = larger ? Integers{} + block : where;
  }
  int64_t first = where[0];
  double top = largest[0];
  for (int64_t i = 1; i < kLanes; ++i) {
    const int64_t slot = where[i] + i;
    const bool better = largest[i] > top || (largest[i] == top && slot < first);
    top = better ? largest[i] : top;
    first = better ? slot : first;
  }
  return first;
}

MMTAD_CLONES Votes count_votes(double start, double end, double threshold, Slots slots, const double* score) {
  Block starts{}, ends{}, weights{};
  const BroadcastSegment one(start, end);
  for (int64_t block = 0; block < slots.count; block += kLanes) {
    const Block first = load(slots.start + block), last = load(slots.end + block);
    const Block t = tiou(one, first, last);
    const Block weight = t >= fill(threshold) ? t * load(score + block) : Block{};
    starts += weight * first;
    ends += weight * last;
    weights += weight;
  }
  return {sum(starts), sum(ends), sum(weights)};
}

}  // namespace mmtad
