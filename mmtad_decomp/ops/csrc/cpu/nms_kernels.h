// Inner loops over segments, built for several instruction sets; the loader picks one.
//
// Segments lie in blocks of `kLanes` slots; an unused slot holds the segment [0, 0].
#pragma once

#include <cstdint>

namespace mmtad {

constexpr int64_t kLanes = 4;

constexpr int64_t padded(int64_t count) { return (count + kLanes - 1) / kLanes * kLanes; }

bool all_finite(const double* data, int64_t count);

// Segments taken, in the order of taking.
struct TakenSegments {
  const double *start, *end;
  int64_t count;
};

// Slots of candidates; `count` is a multiple of kLanes.
struct Slots {
  const double *start, *end;
  int64_t count;
};

// sum[j] += tiou(taken, j)^2 for every taken segment in turn; then key[j] falls to an upper bound
// of score[j] * exp(-sum[j] * inverse_sigma), or stays where it is lower.
void decay_gaussian(
    TakenSegments taken, Slots slots, const double* score, double inverse_sigma, double* sum, double* key);

// key[j] *= 1 - tiou(taken, j) where the tIoU is >= threshold, for every taken segment in turn.
void decay_linearly(TakenSegments taken, Slots slots, double threshold, double* key);

// key[j] = -infinity where the tIoU with any taken segment is >= threshold.
void suppress(TakenSegments taken, Slots slots, double threshold, double* key);

// The first slot of the largest key.
int64_t first_largest(const double* key, int64_t count);

// Weighted ends and weight of the candidates whose tIoU with [start, end] is >= threshold; a
// candidate weighs tiou * score.
struct Votes {
  double start = 0, end = 0, weight = 0;
};
Votes count_votes(double start, double end, double threshold, Slots slots, const double* score);

}  // namespace mmtad
