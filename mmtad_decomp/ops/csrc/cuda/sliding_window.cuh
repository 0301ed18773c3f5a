// Sums over a window that slides along a row, by the threads of a team.
#pragma once

#include <type_traits>

#include "device.cuh"

namespace mmtad {
namespace cuda {

// A thread's place in its team, and the team's in its block.
struct Team {
  int size, index, lane;  // `lane`: of the thread in its team.
  unsigned char* sums;    // Per warp two sums of at most 8 bytes.
  int turn = 0;

  __device__ __forceinline__ Team(int size, unsigned char* sums)
      : size(size), index(threadIdx.x / size), lane(threadIdx.x % size), sums(sums) {}

  // The sum of x over the team's threads before this one; `total`: over all of them. All threads of
  // the block take part. One barrier: the next call writes to the other half of `sums`, and the one
  // after that comes after its barrier.
  template <typename sum_t>
  __device__ __forceinline__ sum_t scan(sum_t x, sum_t& total) {
    const int in_warp = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
    const int first_warp = index * (size / kWarp), warps = size / kWarp;
    sum_t inclusive = x;
#pragma unroll
    for (int distance = 1; distance < kWarp; distance *= 2) {
      const sum_t below = __shfl_up_sync(kAllLanes, inclusive, distance);
      if (in_warp >= distance) inclusive += below;
    }
    sum_t* const slots = reinterpret_cast<sum_t*>(sums + turn * (blockDim.x / kWarp) * sizeof(double));
    turn ^= 1;
    if (in_warp == kWarp - 1) slots[warp] = inclusive;
    __syncthreads();
    sum_t before = 0;
    total = 0;
    for (int i = 0; i < warps; ++i) {
      if (first_warp + i == warp) before = total;
      total += slots[first_warp + i];
    }
    return before + (inclusive - x);
  }

  template <typename sum_t>
  __device__ __forceinline__ sum_t sum(sum_t x) {
    sum_t total;
    scan(x, total);
    return total;
  }
};

// Up to this radius the steps of a window are summed one by one: no thread waits for the others' sums,
// and a thread's neighbouring windows share most of their steps. Measured at 9: 1.3x to 1.5x faster.
constexpr int kNarrowRadius = 9;

template <int kVector>
__device__ __forceinline__ bool is_narrow(int radius) {
  return radius <= kNarrowRadius && 2 * radius + 1 >= kVector;
}

// Sums of the narrow windows around the steps first, first + 1, ...; `load(t)` gives step t, 0 <= t < steps.
// Each sum has the steps of its own window only, so that a NaN shows nowhere else.
template <int kVector, typename sum_t, typename Load>
__device__ __forceinline__ void sum_narrow(sum_t (&sums)[kVector], const Load& load, int first, int steps, int radius) {
  const auto at = [&](int t) { return t >= 0 && t < steps ? static_cast<sum_t>(load(t)) : sum_t(0); };
  // In all windows: from the last one's begin to the first one's end.
  sum_t shared = 0;
#pragma unroll 4
  for (int t = first + kVector - 1 - radius; t <= first + radius; ++t) shared += at(t);
  sum_t before = 0, after = 0;
#pragma unroll
  for (int i = 0; i < kVector; ++i) {
    if (i > 0) after += at(first + i + radius);
    sums[i] = shared + after;
  }
#pragma unroll
  for (int i = kVector - 2; i >= 0; --i) {
    before += at(first + i - radius);
    sums[i] += before;
  }
}

// Sums of the window around consecutive steps. `load(t)` gives step t, 0 <= t < steps. The running
// sum keeps a NaN or an infinity for good; from there on, windows are summed one by one, so that it
// shows in its own windows only.
template <int kVector, typename sum_t, typename Load>
struct SlidingWindow {
  const Load& load;
  int steps, radius;
  sum_t carry;  // The sum of the window of the step before the tile.

  __device__ __forceinline__ SlidingWindow(const Load& load, int steps, int radius, Team& team)
      : load(load), steps(steps), radius(radius) {
    sum_t part = 0;
    for (int t = team.lane; t < min(radius, steps); t += team.size) part += load(t);
    carry = team.sum(part);
  }

  // Window sums of the thread's steps first, first + 1, ...; the team's threads own consecutive ones.
  __device__ __forceinline__ void next(sum_t (&sums)[kVector], int first, Team& team) {
    sum_t running = 0;
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      const int entering = first + i + radius, leaving = first + i - radius - 1;
      if (entering < steps) running += load(entering);
      if (leaving >= 0 && leaving < steps) running -= load(leaving);
      sums[i] = running;
    }
    sum_t total;
    const sum_t before = carry + team.scan(running, total);
    carry += total;
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      sums[i] += before;
      if constexpr (std::is_floating_point<sum_t>::value)
        if (!is_finite(static_cast<float>(sums[i]))) sums[i] = sum_around(first + i);
    }
  }

  __device__ __forceinline__ sum_t sum_around(int t) const {
    sum_t sum = 0;
#pragma unroll 1
    for (int i = max(t - radius, 0); i <= min(t + radius, steps - 1); ++i) sum += load(i);
    return sum;
  }
};

}  // namespace cuda
}  // namespace mmtad
