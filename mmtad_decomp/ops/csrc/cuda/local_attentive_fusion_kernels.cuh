// local_attentive_fusion, forward and backward: each tensor passes through the chip once.
#pragma once

#include "local_attentive_fusion_rows.cuh"

namespace mmtad {
namespace cuda {

// (N, T) counts of the valid steps in the window of each valid step, 0 at masked steps: one block
// of kFusionThreads per sequence, with shared memory for two sums per warp.
__global__ void __launch_bounds__(kFusionThreads)
    window_counts_kernel(const bool* mask, int* counts, int steps, int radius) {
  constexpr int kVector = 4;
  extern __shared__ __align__(16) unsigned char shared_memory[];
  Team team(kFusionThreads, shared_memory);
  const bool* const valid = mask + int64_t(blockIdx.x) * steps;
  const auto load = [&](int t) { return int(valid[t]); };
  SlidingWindow<kVector, int, decltype(load)> window(load, steps, radius, team);
  for (int start = 0; start < steps; start += kFusionThreads * kVector) {
    const int first = start + team.lane * kVector;
    int sums[kVector];
    window.next(sums, first, team);
#pragma unroll
    for (int i = 0; i < kVector; ++i)
      if (first + i < steps) counts[int64_t(blockIdx.x) * steps + first + i] = valid[first + i] ? sums[i] : 0;
  }
}

// The mean over the whole sequence needs no window, and no row in shared memory.
template <typename scalar, bool fast>
__global__ void __launch_bounds__(kFusionThreads) global_fusion_kernel(const FusionArgs<scalar> args) {
  extern __shared__ __align__(16) unsigned char shared_memory[];
  FusionRow<scalar, fast> row(args, shared_memory, 0);
  constexpr int kVector = FusionRow<scalar, fast>::kVector;
  int valid;
  const auto average = row.mean_of_all(valid);
  acc_of<scalar> mean[kVector];
#pragma unroll
  for (int i = 0; i < kVector; ++i) mean[i] = average;
#pragma unroll 2
  for (int start = 0; start < args.steps; start += args.team * kVector)
    row.enhance(row.fetch(start, false), mean, start);
}

template <typename scalar, bool fast>
__global__ void __launch_bounds__(kFusionThreads) global_fusion_backward_kernel(const FusionArgs<scalar> args) {
  using acc = acc_of<scalar>;
  extern __shared__ __align__(16) unsigned char shared_memory[];
  FusionRow<scalar, fast> row(args, shared_memory, 0);
  constexpr int kVector = FusionRow<scalar, fast>::kVector;
  int valid;
  const acc average = row.mean_of_all(valid);
  double part = 0;
  for (int start = 0; start < args.steps; start += args.team * kVector) {
    acc mean[kVector];
#pragma unroll
    for (int i = 0; i < kVector; ++i) mean[i] = average;
    row.differentiate(row.fetch(start, true), mean, start);
#pragma unroll
    for (int i = 0; i < kVector; ++i) part += mean[i];
  }
  if (args.grad_query == nullptr) return;
  const acc shared_grad = static_cast<acc>(row.team.sum(part) / valid);
  for (int start = 0; start < args.steps; start += args.team * kVector) {
    acc grad_query[kVector];
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      const int t = row.step(start, i);
      grad_query[i] = t < args.steps && row.is_valid(t) ? shared_grad : acc(0);
    }
    row.store(args.grad_query, grad_query, start);
  }
}

template <typename scalar, bool fast>
__global__ void __launch_bounds__(kFusionThreads) local_fusion_kernel(const FusionArgs<scalar> args) {
  using Row = FusionRow<scalar, fast>;
  extern __shared__ __align__(16) unsigned char shared_memory[];
  Row row(args, shared_memory, 1);
  row.for_means(false, [&](const acc_of<scalar>(&mean)[Row::kVector], const typename Row::Tile& tile, int start) {
    row.enhance(tile, mean, start);
  });
}

template <typename scalar, bool fast>
__global__ void __launch_bounds__(kFusionThreads) local_fusion_backward_kernel(const FusionArgs<scalar> args) {
  using acc = acc_of<scalar>;
  using Row = FusionRow<scalar, fast>;
  using Tile = typename Row::Tile;
  constexpr int kVector = Row::kVector;
  extern __shared__ __align__(16) unsigned char shared_memory[];
  Row row(args, shared_memory, 2);
  // Gradients of the means over their counts. The window is symmetric: summed over it, they are dq.
  const bool shared = row.shared_rows();
  acc* const grads = shared ? row.buffers + padded_steps<scalar>(args.steps) : args.scratch + row.row * args.steps;
  const auto index = [=](int t) { return shared ? Row::padded_index(t) : t; };
  const bool writes = shared || row.active;
  row.for_means(true, [&](acc(&mean)[kVector], const Tile& tile, int start) {
    row.differentiate(tile, mean, start);
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      const int t = row.step(start, i);
      if (t < args.steps && writes) grads[index(t)] = tile.is_valid(i) ? mean[i] / acc(tile.counts[i]) : acc(0);
    }
  });
  if (args.grad_query == nullptr) return;
  __syncthreads();
  const auto only_valid = [&](int start) {
    Tile tile;
    tile.valid = 0;
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      const int t = row.step(start, i);
      if (t < args.steps && row.is_valid(t)) tile.valid |= 1u << i;
    }
    return tile;
  };
  row.for_windows(
      [=](int t) { return grads[index(t)]; }, only_valid,
      [&](acc(&sums)[kVector], const Tile& tile, int start) {
#pragma unroll
        for (int i = 0; i < kVector; ++i) sums[i] = tile.is_valid(i) ? sums[i] : acc(0);
        row.store(args.grad_query, sums, start);
      });
}

}  // namespace cuda
}  // namespace mmtad
