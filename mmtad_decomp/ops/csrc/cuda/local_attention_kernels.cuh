// local_attention, forward: softmax is online, and of it only the log-sum-exp is kept.
#pragma once

#include "local_attention_tiles.cuh"

namespace mmtad {
namespace cuda {

// Softmax statistics and weighted sum of the group's rows, brought up to date by one lane's logits.
template <typename Layout>
struct OnlineSoftmax {
  using acc = typename Layout::acc;
  acc maximum[Layout::kRows], sum[Layout::kRows];  // `sum` is of this lane's own offsets.
  acc out[Layout::kRows][Layout::kChannels];

  __device__ __forceinline__ OnlineSoftmax() {
#pragma unroll
    for (int r = 0; r < Layout::kRows; ++r) {
      maximum[r] = -infinity<acc>();
      sum[r] = 0;
#pragma unroll
      for (int c = 0; c < Layout::kChannels; ++c) out[r][c] = 0;
    }
  }

  // Replaces logits (to base 2) by probabilities up to a factor.
  __device__ __forceinline__ void update(acc (&logits)[Layout::kRows]) {
#pragma unroll
    for (int r = 0; r < Layout::kRows; ++r) {
      const acc risen = larger(maximum[r], group_max<Layout::kLanes>(logits[r]));
      const acc base = risen == -infinity<acc>() ? acc(0) : risen;
      const acc shrink = power_of_2(maximum[r] - base);
      maximum[r] = risen;
      logits[r] = power_of_2(logits[r] - base);
      sum[r] = sum[r] * shrink + logits[r];
#pragma unroll
      for (int c = 0; c < Layout::kChannels; ++c) out[r][c] *= shrink;
    }
  }
};

template <typename scalar, int dims>
__global__ void __launch_bounds__(kAttentionThreads, dims >= 128 && sizeof(scalar) < 8 ? 3 : 2)
    local_attention_kernel(const AttentionArgs<scalar> args) {
  using Layout = AttentionLayout<scalar, dims>;
  using acc = typename Layout::acc;
  extern __shared__ __align__(128) unsigned char shared_memory[];
  const Staging<Layout> staging(shared_memory, args.chunk);
  bool* const valid_rows = reinterpret_cast<bool*>(staging.row_data);
  const ThreadPlace<Layout> place(args);

  acc query[Layout::kRows][Layout::kChannels];
  load_tile<Layout>(query, args.query, staging.first, args, place);
#pragma unroll
  for (int r = 0; r < Layout::kRows; ++r)
#pragma unroll
    for (int c = 0; c < Layout::kChannels; ++c) query[r][c] *= args.scale * acc(1 / kLn2);

  OnlineSoftmax<Layout> softmax;
#pragma unroll 1
  for (int offset = place.begin; offset < place.end; offset += args.chunk) {
    const int start = place.tile_start - args.radius + offset;
    const int rows = rows_needed<Layout>(offset, place.end, args.chunk);
    __syncthreads();
    stage<Layout>(staging.first, args.key, args, place, start, rows);
    stage<Layout>(staging.second, args.value, args, place, start, rows);
    for (int i = threadIdx.x; i < rows; i += kAttentionThreads) valid_rows[i] = is_valid(args, place.n, start + i);
    wait_for_copies();
    __syncthreads();
#pragma unroll 1
    for (int s = 0; s < args.chunk && offset + s < place.end; s += Layout::kLanes) {
      const int row = place.group * Layout::kRows + s;
      acc logits[Layout::kRows];
      multiply<Layout>(logits, query, staging.first + row * Layout::kPitch, place.lane);
#pragma unroll
      for (int r = 0; r < Layout::kRows; ++r)
        if (!valid_rows[row + place.lane] || !place.sees(r, offset + s + place.lane, args.radius))
          logits[r] = -infinity<acc>();
      softmax.update(logits);
      add_weighted<Layout>(softmax.out, logits, staging.second + row * Layout::kPitch, place, offset + s, args.radius);
    }
  }

  acc factors[Layout::kRows];
#pragma unroll
  for (int r = 0; r < Layout::kRows; ++r) {
    const acc sum = group_sum<Layout::kLanes>(softmax.sum[r]);
    const int t = place.first + r;
    // A sum of 0 is an empty window; a masked step has none either. NaN is neither.
    const bool empty = sum == 0 || !is_valid(args, place.n, t);
    factors[r] = empty ? acc(0) : 1 / sum;
    if (empty) {
#pragma unroll
      for (int c = 0; c < Layout::kChannels; ++c) softmax.out[r][c] = 0;
    }
    if (place.lane == 0 && t < args.steps)
      args.lse[flat(args, place, t)] = empty ? infinity<acc>() : (softmax.maximum[r] + logarithm_2(sum)) * acc(kLn2);
  }
  __syncthreads();
  store_tile<Layout>(args.out, softmax.out, factors, staging.first, args, place);
}

}  // namespace cuda
}  // namespace mmtad
