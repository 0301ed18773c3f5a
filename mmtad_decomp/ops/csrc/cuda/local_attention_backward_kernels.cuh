// local_attention, backward. With probabilities P (from the stored log-sum-exp), dP_ij = do_i . v_j and
// delta_i = sum_j P_ij dP_ij: dS = P * (dP - delta), dq = scale * dS k, dk = scale * dS^T q, dv = P^T do.
//
// The first kernel owns tiles of queries: delta, then dq. The second owns tiles of keys, reads the
// first one's delta, and sums dk and dv over the queries that see them. Each result is written by
// one thread, once: no atomics, the same bits every time. Gradients with a null target are left out.
#pragma once

#include "local_attention_tiles.cuh"

namespace mmtad {
namespace cuda {

// The group's queries with their gradients, and how one lane's P and dP follow.
template <typename Layout>
struct QueryRows {
  using acc = typename Layout::acc;
  acc query[Layout::kRows][Layout::kChannels], grad[Layout::kRows][Layout::kChannels];
  acc lse[Layout::kRows];  // To base 2; +inf where the query sees nothing.

  template <typename Args>
  __device__ __forceinline__
  QueryRows(const Args& args, const ThreadPlace<Layout>& place, const Staging<Layout>& staging) {
    load_tile<Layout>(query, args.query, staging.first, args, place);
    load_tile<Layout>(grad, args.grad, staging.second, args, place);
#pragma unroll
    for (int r = 0; r < Layout::kRows; ++r) {
      const int t = place.first + r;
      const bool valid = is_valid(args, place.n, t);
      lse[r] = valid ? args.lse[flat(args, place, t)] * acc(1 / kLn2) : infinity<acc>();
#pragma unroll
      for (int c = 0; c < Layout::kChannels; ++c) query[r][c] *= args.scale * acc(1 / kLn2);
    }
  }

  // The lane's offset is `offset`; it is staged row `row + lane` of both tensors.
  __device__ __forceinline__ void probabilities(
      acc (&p)[Layout::kRows], acc (&grad_p)[Layout::kRows], const Staging<Layout>& staging,
      const ThreadPlace<Layout>& place, int row, int offset, int radius) const {
    const bool valid = reinterpret_cast<const bool*>(staging.row_data)[row + place.lane];
    multiply<Layout>(p, query, staging.first + row * Layout::kPitch, place.lane);
    multiply<Layout>(grad_p, grad, staging.second + row * Layout::kPitch, place.lane);
#pragma unroll
    for (int r = 0; r < Layout::kRows; ++r) {
      const bool seen = valid && lse[r] != infinity<acc>() && place.sees(r, offset, radius);
      p[r] = seen ? power_of_2(p[r] - lse[r]) : acc(0);
      grad_p[r] = seen ? grad_p[r] : acc(0);
    }
  }
};

template <typename scalar, int dims>
__global__ void __launch_bounds__(kAttentionThreads, 2)
    local_attention_grad_query_kernel(const AttentionArgs<scalar> args) {
  using Layout = AttentionLayout<scalar, dims>;
  using acc = typename Layout::acc;
  extern __shared__ __align__(128) unsigned char shared_memory[];
  const Staging<Layout> staging(shared_memory, args.chunk);
  bool* const valid_rows = reinterpret_cast<bool*>(staging.row_data);
  const ThreadPlace<Layout> place(args);
  const QueryRows<Layout> rows(args, place, staging);
  const bool one_chunk = place.end - place.begin <= args.chunk;

  acc delta[Layout::kRows], out[Layout::kRows][Layout::kChannels];
#pragma unroll
  for (int r = 0; r < Layout::kRows; ++r) {
    delta[r] = 0;
#pragma unroll
    for (int c = 0; c < Layout::kChannels; ++c) out[r][c] = 0;
  }

  // The first pass finds delta, the second one needs it for dq.
  const int passes = args.grad_query.data == nullptr ? 1 : 2;
#pragma unroll 1
  for (int pass = 0; pass < passes; ++pass) {
#pragma unroll 1
    for (int offset = place.begin; offset < place.end; offset += args.chunk) {
      if (pass == 0 || !one_chunk) {
        const int start = place.tile_start - args.radius + offset;
        const int staged = rows_needed<Layout>(offset, place.end, args.chunk);
        __syncthreads();
        stage<Layout>(staging.first, args.key, args, place, start, staged);
        if (pass == 0 || !args.cached) stage<Layout>(staging.second, args.value, args, place, start, staged);
        for (int i = threadIdx.x; i < staged; i += kAttentionThreads)
          valid_rows[i] = is_valid(args, place.n, start + i);
        wait_for_copies();
        __syncthreads();
      }
#pragma unroll 1
      for (int s = 0; s < args.chunk && offset + s < place.end; s += Layout::kLanes) {
        const int row = place.group * Layout::kRows + s;
        acc* const cached = staging.cache +
                            (offset + s - place.begin) / Layout::kLanes * (2 * Layout::kRows * kAttentionThreads) +
                            threadIdx.x;
        acc p[Layout::kRows], grad_p[Layout::kRows];
        if (pass == 0 || !args.cached)
          rows.probabilities(p, grad_p, staging, place, row, offset + s + place.lane, args.radius);
        if (pass == 0) {
#pragma unroll
          for (int r = 0; r < Layout::kRows; ++r) {
            delta[r] += p[r] * grad_p[r];
            if (!args.cached) continue;
            cached[2 * r * kAttentionThreads] = p[r];
            cached[(2 * r + 1) * kAttentionThreads] = grad_p[r];
          }
        } else {
#pragma unroll
          for (int r = 0; r < Layout::kRows; ++r) {
            if (args.cached) {
              p[r] = cached[2 * r * kAttentionThreads];
              grad_p[r] = cached[(2 * r + 1) * kAttentionThreads];
            }
            p[r] *= grad_p[r] - delta[r];
          }
          add_weighted<Layout>(out, p, staging.first + row * Layout::kPitch, place, offset + s, args.radius);
        }
      }
    }
    if (pass == 0) {
#pragma unroll
      for (int r = 0; r < Layout::kRows; ++r) delta[r] = group_sum<Layout::kLanes>(delta[r]);
    }
  }

  acc factors[Layout::kRows];
#pragma unroll
  for (int r = 0; r < Layout::kRows; ++r) {
    const int t = place.first + r;
    if (place.lane == 0 && t < args.steps) args.delta[flat(args, place, t)] = delta[r];
    factors[r] = args.scale;
  }
  if (passes == 1) return;
  clear_invalid<Layout>(out, args, place);
  __syncthreads();
  store_tile<Layout>(args.grad_query, out, factors, staging.first, args, place);
}

template <typename scalar, int dims>
__global__ void __launch_bounds__(kAttentionThreads, 2)
    local_attention_grad_key_value_kernel(const AttentionArgs<scalar> args) {
  using Layout = AttentionLayout<scalar, dims>;
  using acc = typename Layout::acc;
  extern __shared__ __align__(128) unsigned char shared_memory[];
  const Staging<Layout> staging(shared_memory, args.chunk);
  acc* const row_lse = staging.row_data;
  acc* const row_delta = row_lse + Layout::staged_rows(args.chunk);
  const ThreadPlace<Layout> place(args);
  const bool needs_key = args.grad_key.data != nullptr, needs_value = args.grad_value.data != nullptr;

  acc key[Layout::kRows][Layout::kChannels], value[Layout::kRows][Layout::kChannels];
  acc grad_key[Layout::kRows][Layout::kChannels], grad_value[Layout::kRows][Layout::kChannels];
  bool valid_keys[Layout::kRows];
  load_tile<Layout>(key, args.key, staging.first, args, place);
  load_tile<Layout>(value, args.value, staging.second, args, place);
#pragma unroll
  for (int r = 0; r < Layout::kRows; ++r) {
    valid_keys[r] = is_valid(args, place.n, place.first + r);
#pragma unroll
    for (int c = 0; c < Layout::kChannels; ++c) {
      key[r][c] *= args.scale * acc(1 / kLn2);
      grad_key[r][c] = grad_value[r][c] = 0;
    }
  }

#pragma unroll 1
  for (int offset = place.begin; offset < place.end; offset += args.chunk) {
    const int start = place.tile_start - args.radius + offset;
    const int staged = rows_needed<Layout>(offset, place.end, args.chunk);
    __syncthreads();
    stage<Layout>(staging.first, args.query, args, place, start, staged);
    stage<Layout>(staging.second, args.grad, args, place, start, staged);
    for (int i = threadIdx.x; i < staged; i += kAttentionThreads) {
      const bool valid = is_valid(args, place.n, start + i);
      const int64_t at = flat(args, place, valid ? start + i : 0);
      row_lse[i] = valid ? args.lse[at] * acc(1 / kLn2) : infinity<acc>();
      row_delta[i] = valid && needs_key ? args.delta[at] : acc(0);
    }
    wait_for_copies();
    __syncthreads();
#pragma unroll 1
    for (int s = 0; s < args.chunk && offset + s < place.end; s += Layout::kLanes) {
      const int row = place.group * Layout::kRows + s;
      const auto* const query_rows = staging.first + row * Layout::kPitch;
      const auto* const grad_rows = staging.second + row * Layout::kPitch;
      acc p[Layout::kRows], grad_logits[Layout::kRows];
      multiply<Layout>(p, key, query_rows, place.lane);
      multiply<Layout>(grad_logits, value, grad_rows, place.lane);
      const acc lse = row_lse[row + place.lane], delta = row_delta[row + place.lane];
#pragma unroll
      for (int r = 0; r < Layout::kRows; ++r) {
        const bool seen =
            valid_keys[r] && lse != infinity<acc>() && place.sees(r, offset + s + place.lane, args.radius);
        p[r] = seen ? power_of_2(p[r] - lse) : acc(0);
        grad_logits[r] = seen ? p[r] * (grad_logits[r] - delta) : acc(0);
      }
      if (needs_key) add_weighted<Layout>(grad_key, grad_logits, query_rows, place, offset + s, args.radius);
      if (needs_value) add_weighted<Layout>(grad_value, p, grad_rows, place, offset + s, args.radius);
    }
  }

  acc scales[Layout::kRows], ones[Layout::kRows];
#pragma unroll
  for (int r = 0; r < Layout::kRows; ++r) {
    scales[r] = args.scale;
    ones[r] = 1;
  }
  clear_invalid<Layout>(grad_key, args, place);
  clear_invalid<Layout>(grad_value, args, place);
  __syncthreads();
  if (needs_key) store_tile<Layout>(args.grad_key, grad_key, scales, staging.first, args, place);
  if (needs_value) store_tile<Layout>(args.grad_value, grad_value, ones, staging.second, args, place);
}

}  // namespace cuda
}  // namespace mmtad
