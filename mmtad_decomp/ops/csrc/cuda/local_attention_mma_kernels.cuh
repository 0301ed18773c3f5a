// local_attention in half types on tensor cores, forward and backward.
//
// A warp owns 16 steps and multiplies them with all the staged rows that their windows cover: products of
// 16 x 16 x 16 by nvcuda::wmma, with sums in float32. Its logits pass through shared memory, where two
// lanes turn a row of them into weights, rounded to the half type for the second product. Rows outside of
// a window have a weight of 0 there, and 0 times NaN is NaN: an element that is not finite is summed again
// over its window alone. No atomics; the formulas are those of local_attention_backward_kernels.cuh.
#pragma once

#include <mma.h>

#include "local_attention_tiles.cuh"

namespace mmtad {
namespace cuda {

namespace wmma = nvcuda::wmma;

constexpr int kMma = 16;       // Rows and columns of a fragment.
constexpr int kMaxMmaDims = 128;
constexpr int kMmaHalf = kMma / 2;  // Channels that a lane writes of each 16.

// The layout of local_attention_tiles.cuh whose groups are warps. `chunk` is the whole window of a warp.
template <typename scalar_, int dims>
struct MmaLayout {
  using scalar = scalar_;
  using acc = float;
  static constexpr int kDims = dims;
  static constexpr int kVector = Vector<scalar>::kSize;
  static constexpr int kLanes = kWarp;
  static constexpr int kRows = kMma;
  static constexpr int kTile = kAttentionThreads / kLanes * kRows;
  static constexpr int kPitch = dims + kVector;
  static constexpr int kPatchPitch = kMma + 4;

  static constexpr int staged_rows(int chunk) { return kTile - kRows + chunk; }
  static constexpr int64_t staged_bytes(int chunk) { return 2 * int64_t(staged_rows(chunk)) * kPitch * sizeof(scalar); }
  static constexpr int64_t row_bytes(int chunk) { return 2 * staged_rows(chunk) * sizeof(acc); }
  // Pitches that spread the rows of a fragment over the banks.
  static constexpr int logits_pitch(int chunk) { return chunk + 4; }
  static constexpr int weights_pitch(int chunk) { return chunk + kVector; }
  // Per product of the tile's own rows: first these rows, then logits and weights in their place.
  static constexpr int64_t product_bytes(int chunk) {
    const int64_t own = kPitch * sizeof(scalar);
    const int64_t after = logits_pitch(chunk) * sizeof(acc) + weights_pitch(chunk) * sizeof(scalar);
    return kTile * (own > after ? own : after);
  }
};

// Decides how to run a kernel with one (forward) or two (backward) products of the tile's own rows, as
// plan_attention does. Returns the bytes of shared memory, which may be more than a block may have.
template <typename Layout>
int64_t plan_mma(AttentionArgs<typename Layout::scalar>& args, int products) {
  args.chunk = int(round_up(2 * int64_t(args.radius) + Layout::kRows, kMma));
  args.tiles = int(ceil_div(args.steps, Layout::kTile));
  args.wide = has_wide_rows(args);
  return Layout::staged_bytes(args.chunk) + Layout::row_bytes(args.chunk) +
         products * Layout::product_bytes(args.chunk);
}

// One product's part of shared memory.
template <typename Layout>
struct MmaProduct {
  typename Layout::scalar* tile;     // (kTile, kPitch), until logits and weights take its place.
  float* logits;                     // (kRows, logits_pitch), the warp's own.
  typename Layout::scalar* weights;  // (kRows, weights_pitch), the warp's own.

  __device__ __forceinline__ MmaProduct(const Staging<Layout>& staging, int index, int group, int chunk) {
    unsigned char* const memory =
        reinterpret_cast<unsigned char*>(staging.cache) + index * Layout::product_bytes(chunk);
    tile = reinterpret_cast<typename Layout::scalar*>(memory);
    logits = reinterpret_cast<float*>(memory) + group * Layout::kRows * Layout::logits_pitch(chunk);
    weights = reinterpret_cast<typename Layout::scalar*>(
                  memory + Layout::kTile * Layout::logits_pitch(chunk) * sizeof(float)) +
              group * Layout::kRows * Layout::weights_pitch(chunk);
  }
};

// The warp's own rows as fragments.
template <typename Layout>
struct MmaRows {
  wmma::fragment<wmma::matrix_a, kMma, kMma, kMma, typename Layout::scalar, wmma::row_major> at[Layout::kDims / kMma];

  __device__ __forceinline__ MmaRows(const typename Layout::scalar* tile, int group) {
#pragma unroll
    for (int k = 0; k < Layout::kDims / kMma; ++k)
      wmma::load_matrix_sync(at[k], tile + group * Layout::kRows * Layout::kPitch + k * kMma, Layout::kPitch);
  }

  // logits = own rows times the `chunk` staged rows.
  __device__ __forceinline__ void multiply(float* logits, const typename Layout::scalar* staged, int chunk) const {
#pragma unroll 1
    for (int c = 0; c < chunk; c += kMma) {
      wmma::fragment<wmma::accumulator, kMma, kMma, kMma, float> sum;
      wmma::fill_fragment(sum, 0.f);
#pragma unroll
      for (int k = 0; k < Layout::kDims / kMma; ++k) {
        wmma::fragment<wmma::matrix_b, kMma, kMma, kMma, typename Layout::scalar, wmma::col_major> columns;
        wmma::load_matrix_sync(columns, staged + c * Layout::kPitch + k * kMma, Layout::kPitch);
        wmma::mma_sync(sum, at[k], columns, sum);
      }
      wmma::store_matrix_sync(logits + c, sum, Layout::logits_pitch(chunk), wmma::mem_row_major);
    }
  }
};

// Where a lane works on its warp's matrices: lanes r and r + 16 share row r.
struct MmaLane {
  int row, half;

  template <typename Layout>
  __device__ __forceinline__ explicit MmaLane(const ThreadPlace<Layout>& place)
      : row(place.lane % kMma), half(place.lane / kMma) {}

  __device__ __forceinline__ static float sum(float x) { return x + __shfl_xor_sync(kAllLanes, x, kMma); }
  __device__ __forceinline__ static float maximum(float x) { return larger(x, __shfl_xor_sync(kAllLanes, x, kMma)); }
};

// Writes factor * (weights times staged rows) to the warp's own rows of `target`; a factor of 0 clears a
// row. `exact` with its pitch: the weights to use where a sum is not finite. `patch`: kRows rows of
// shared memory.
template <typename Layout, typename Args, typename Exact>
__device__ __forceinline__ void store_weighted(
    const TypedHeads<typename Layout::scalar>& target, const typename Layout::scalar* weights, const Exact* exact,
    int exact_pitch, const typename Layout::scalar* staged, float* patch, float factor, const Args& args,
    const ThreadPlace<Layout>& place) {
  using scalar = typename Layout::scalar;
  const MmaLane lane(place);
  const int t = place.first + lane.row;
#pragma unroll 1
  for (int first = 0; first < args.dims; first += kMma) {
    wmma::fragment<wmma::accumulator, kMma, kMma, kMma, float> sum;
    wmma::fill_fragment(sum, 0.f);
#pragma unroll 3
    for (int c = 0; c < args.chunk; c += kMma) {
      wmma::fragment<wmma::matrix_a, kMma, kMma, kMma, scalar, wmma::row_major> rows;
      wmma::fragment<wmma::matrix_b, kMma, kMma, kMma, scalar, wmma::row_major> columns;
      wmma::load_matrix_sync(rows, weights + c, Layout::weights_pitch(args.chunk));
      wmma::load_matrix_sync(columns, staged + c * Layout::kPitch + first, Layout::kPitch);
      wmma::mma_sync(sum, rows, columns, sum);
    }
    __syncwarp();
    wmma::store_matrix_sync(patch, sum, Layout::kPatchPitch, wmma::mem_row_major);
    __syncwarp();
    const int channel = first + lane.half * kMmaHalf;
    Vector<scalar> y;
#pragma unroll
    for (int i = 0; i < kMmaHalf; ++i) {
      float x = patch[lane.row * Layout::kPatchPitch + lane.half * kMmaHalf + i];
      if (!is_finite(x)) {
        x = 0;
#pragma unroll 1
        for (int o = lane.row; o <= lane.row + 2 * args.radius; ++o)
          x += static_cast<float>(exact[lane.row * exact_pitch + o]) *
               static_cast<float>(staged[o * Layout::kPitch + channel + i]);
      }
      y.at[i] = static_cast<scalar>(factor == 0 ? 0.f : factor * x);
    }
    if (t >= args.steps) continue;
    scalar* const to = target.row(place.n, place.h, t);
    if (args.wide) {
      if (channel < args.dims) store_vector(to + channel, y);
    } else {
#pragma unroll
      for (int i = 0; i < kMmaHalf; ++i)
        if (channel + i < args.dims) to[(channel + i) * target.channel_stride] = y.at[i];
    }
  }
}

template <typename scalar, int dims>
__global__ void __launch_bounds__(kAttentionThreads, 3) local_attention_mma_kernel(const AttentionArgs<scalar> args) {
  using Layout = MmaLayout<scalar, dims>;
  extern __shared__ __align__(128) unsigned char shared_memory[];
  const Staging<Layout> staging(shared_memory, args.chunk);
  bool* const valid_rows = reinterpret_cast<bool*>(staging.row_data);
  const ThreadPlace<Layout> place(args);
  const MmaProduct<Layout> product(staging, 0, place.group, args.chunk);
  const int start = place.tile_start - args.radius, staged = Layout::staged_rows(args.chunk);
  stage<Layout>(product.tile, args.query, args, place, place.tile_start, Layout::kTile);
  stage<Layout>(staging.first, args.key, args, place, start, staged);
  stage<Layout>(staging.second, args.value, args, place, start, staged);
  for (int i = threadIdx.x; i < staged; i += kAttentionThreads) valid_rows[i] = is_valid(args, place.n, start + i);
  wait_for_copies();
  __syncthreads();
  const MmaRows<Layout> query(product.tile, place.group);
  __syncthreads();
  if (place.first >= args.steps) return;

  const int row = place.group * Layout::kRows;
  query.multiply(product.logits, staging.first + row * Layout::kPitch, args.chunk);
  __syncwarp();
  const MmaLane lane(place);
  const float* const logits = product.logits + lane.row * Layout::logits_pitch(args.chunk);
  scalar* const weights = product.weights + lane.row * Layout::weights_pitch(args.chunk);
  const float scale = args.scale * float(1 / kLn2);
  float maximum = -infinity<float>(), sum = 0;
  for (int o = lane.row + lane.half; o <= lane.row + 2 * args.radius; o += 2)
    if (valid_rows[row + o]) maximum = larger(maximum, logits[o] * scale);
  maximum = lane.maximum(maximum);
  const float base = maximum == -infinity<float>() ? 0.f : maximum;
  for (int o = lane.half; o < args.chunk; o += 2) {
    const bool seen = valid_rows[row + o] && place.sees(lane.row, o, args.radius);
    const float weight = seen ? power_of_2(logits[o] * scale - base) : 0.f;
    weights[o] = static_cast<scalar>(weight);
    sum += weight;
  }
  sum = lane.sum(sum);
  __syncwarp();
  const int t = place.first + lane.row;
  // A sum of 0 is an empty window; a masked step has none either. NaN is neither.
  const bool empty = sum == 0 || !is_valid(args, place.n, t);
  if (lane.half == 0 && t < args.steps)
    args.lse[flat(args, place, t)] = empty ? infinity<float>() : (maximum + logarithm_2(sum)) * float(kLn2);
  store_weighted<Layout>(
      args.out, product.weights, product.weights, Layout::weights_pitch(args.chunk),
      staging.second + row * Layout::kPitch, product.logits, empty ? 0.f : 1 / sum, args, place);
}

// Owns queries (delta, then dq) or keys (dk and dv). Both multiply their own rows with the other side's:
// queries with keys, gradients with values.
template <typename scalar, int dims, bool owns_queries>
__global__ void __launch_bounds__(kAttentionThreads, 2)
    local_attention_mma_backward_kernel(const AttentionArgs<scalar> args) {
  using Layout = MmaLayout<scalar, dims>;
  extern __shared__ __align__(128) unsigned char shared_memory[];
  const Staging<Layout> staging(shared_memory, args.chunk);
  const int staged = Layout::staged_rows(args.chunk);
  float* const row_lse = staging.row_data;  // To base 2, +inf for an invalid row; 0 for keys.
  float* const row_delta = row_lse + staged;
  const ThreadPlace<Layout> place(args);
  const MmaProduct<Layout> first(staging, 0, place.group, args.chunk), second(staging, 1, place.group, args.chunk);
  const int start = place.tile_start - args.radius;
  const bool needs_key = args.grad_key.data != nullptr;
  stage<Layout>(first.tile, owns_queries ? args.query : args.key, args, place, place.tile_start, Layout::kTile);
  stage<Layout>(second.tile, owns_queries ? args.grad : args.value, args, place, place.tile_start, Layout::kTile);
  stage<Layout>(staging.first, owns_queries ? args.key : args.query, args, place, start, staged);
  stage<Layout>(staging.second, owns_queries ? args.value : args.grad, args, place, start, staged);
  for (int i = threadIdx.x; i < staged; i += kAttentionThreads) {
    const bool valid = is_valid(args, place.n, start + i);
    const int64_t at = flat(args, place, valid ? start + i : 0);
    row_lse[i] = !valid ? infinity<float>() : owns_queries ? 0.f : args.lse[at] * float(1 / kLn2);
    if (!owns_queries) row_delta[i] = valid && needs_key ? args.delta[at] : 0.f;
  }
  wait_for_copies();
  __syncthreads();
  const MmaRows<Layout> own_first(first.tile, place.group), own_second(second.tile, place.group);
  __syncthreads();
  if (place.first >= args.steps) return;

  const int row = place.group * Layout::kRows;
  own_first.multiply(first.logits, staging.first + row * Layout::kPitch, args.chunk);
  own_second.multiply(second.logits, staging.second + row * Layout::kPitch, args.chunk);
  __syncwarp();
  const MmaLane lane(place);
  const int t = place.first + lane.row;
  const bool valid = is_valid(args, place.n, t);
  const int64_t at = flat(args, place, valid ? t : 0);
  const float own_lse = !valid ? infinity<float>() : owns_queries ? args.lse[at] * float(1 / kLn2) : 0.f;
  float* const logits = first.logits + lane.row * Layout::logits_pitch(args.chunk);
  const float* const grads = second.logits + lane.row * Layout::logits_pitch(args.chunk);
  const auto probability = [&](int o) {
    const float lse = row_lse[row + o];
    const bool seen = lse != infinity<float>() && own_lse != infinity<float>() && place.sees(lane.row, o, args.radius);
    return seen ? power_of_2(logits[o] * (args.scale * float(1 / kLn2)) - (own_lse + lse)) : 0.f;
  };
  float delta = 0;
  if (owns_queries) {
    for (int o = lane.row + lane.half; o <= lane.row + 2 * args.radius; o += 2) delta += probability(o) * grads[o];
    delta = lane.sum(delta);
    if (lane.half == 0 && t < args.steps) args.delta[flat(args, place, t)] = delta;
    if (args.grad_query.data == nullptr) return;
  }
  for (int o = lane.half; o < args.chunk; o += 2) {
    const float p = probability(o);
    // What no lane sees may hold NaN.
    const float grad_logit = p == 0 ? 0.f : p * (grads[o] - (owns_queries ? delta : row_delta[row + o]));
    const int at_weight = lane.row * Layout::weights_pitch(args.chunk) + o;
    first.weights[at_weight] = static_cast<scalar>(p);
    second.weights[at_weight] = static_cast<scalar>(grad_logit);
    logits[o] = grad_logit;
  }
  __syncwarp();
  // The second product's logits are read; patches take their place.
  const auto store_logits = [&](const TypedHeads<scalar>& target) {
    store_weighted<Layout>(
        target, second.weights, first.logits, Layout::logits_pitch(args.chunk), staging.first + row * Layout::kPitch,
        second.logits, valid ? args.scale : 0.f, args, place);
  };
  if (owns_queries) return store_logits(args.grad_query);
  if (needs_key) store_logits(args.grad_key);
  if (args.grad_value.data != nullptr)
    store_weighted<Layout>(
        args.grad_value, first.weights, first.weights, Layout::weights_pitch(args.chunk),
        staging.second + row * Layout::kPitch, second.logits, valid ? 1.f : 0.f, args, place);
}

}  // namespace cuda
}  // namespace mmtad
