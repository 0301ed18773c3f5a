// How the kernels of local_attention divide their work, and move and multiply tiles.
//
// A block owns a tile of steps, a group of `kLanes` lanes owns `kRows` neighbouring ones and keeps
// their channels in registers. All groups go through the offsets of their window at once: at
// offset s, the group whose first step is i sees step i - radius + s. So every loop has the same
// length for all threads, and the steps that a block needs for a chunk of offsets are consecutive:
// they are staged in shared memory. A window of any width is a number of chunks.
//
// Within a chunk, a group takes `kLanes` offsets at a time. Each lane multiplies its own channels;
// the lanes' parts are then added up such that lane g is left with the result of offset g.
#pragma once

#include "device.cuh"

namespace mmtad {
namespace cuda {

constexpr int kMaxDims = 256;
constexpr int kAttentionThreads = 128;  // The blocks per multiprocessor in __launch_bounds__ leave nothing to spill.
// Shared memory that a block may take: three blocks fit an H100's multiprocessor, two an A100's.
constexpr int64_t kAttentionShared = 72 * 1024;
// Up to so many bytes of shared memory keep probabilities between the passes of the backward.
constexpr int64_t kAttentionCache = 24 * 1024;

// A (N, H, T, D) tensor with consecutive channels (rows) or consecutive steps (columns).
template <typename scalar>
struct TypedHeads {
  scalar* data;
  int64_t batch_stride, head_stride, step_stride, channel_stride;

  __device__ __forceinline__ bool has_rows() const { return channel_stride == 1; }

  __device__ __forceinline__ scalar* row(int n, int h, int t) const {
    return data + (n * batch_stride + h * head_stride + t * step_stride);
  }
};

template <typename scalar>
struct AttentionArgs {
  using acc = acc_of<scalar>;
  TypedHeads<const scalar> query, key, value, grad;
  TypedHeads<scalar> out, grad_query, grad_key, grad_value;  // Null: a gradient that nobody needs.
  const bool* mask;  // (N, T), or null.
  acc* lse;          // (N, H, T), natural logarithm.
  acc* delta;        // (N, H, T): sum over the window of probability times its gradient.
  int heads, steps, dims, radius;
  int tiles;         // Of one head.
  int chunk;         // Offsets that are staged at once.
  bool wide;         // Rows start at multiples of 16 bytes and hold a multiple of 16 bytes.
  bool cached;       // Shared memory keeps the probabilities of the whole window.
  acc scale;         // 1 / sqrt(D).
};

template <typename scalar_, int dims>
struct AttentionLayout {
  using scalar = scalar_;
  using acc = acc_of<scalar>;
  static constexpr int kDims = dims;
  static constexpr int kVector = Vector<scalar>::kSize;
  static constexpr int kLanes = dims <= 32 ? 4 : dims <= 128 ? 8 : 16;
  static constexpr int kChannels = dims / kLanes;
  static constexpr int kRows = sizeof(scalar) == 8 ? 1 : 32 / kChannels;
  static constexpr int kTile = kAttentionThreads / kLanes * kRows;
  // Padding by 16 bytes spreads what threads write down a column over the banks, and where four
  // lanes read 64 bytes, moves the quarter warp's other four to other banks.
  static constexpr int kPitch = dims + kVector;

  static constexpr int staged_rows(int chunk) { return kTile - kRows + chunk; }
  static constexpr int64_t offsets(int radius) { return 2 * int64_t(radius) + kRows; }
  static constexpr int64_t staged_bytes(int chunk) { return 2 * int64_t(staged_rows(chunk)) * kPitch * sizeof(scalar); }
  // After the two staged tensors: per row a flag, or lse and delta.
  static constexpr int64_t row_bytes(int chunk) { return round_up(2 * staged_rows(chunk) * sizeof(acc), 16); }
  static constexpr int64_t cache_bytes(int radius) {
    return round_up(offsets(radius), kLanes) / kLanes * kRows * 2 * kAttentionThreads * sizeof(acc);
  }
};

// Whether rows start at multiples of 16 bytes and hold a multiple of 16 bytes; true of a null tensor.
template <typename scalar>
bool has_aligned_rows(const TypedHeads<scalar>& x, int dims) {
  constexpr int kSize = 16 / sizeof(scalar);
  return x.data == nullptr ||
         (x.channel_stride == 1 && reinterpret_cast<uintptr_t>(x.data) % 16 == 0 && x.batch_stride % kSize == 0 &&
          x.head_stride % kSize == 0 && x.step_stride % kSize == 0 && dims % kSize == 0);
}

template <typename scalar>
bool has_wide_rows(const AttentionArgs<scalar>& args) {
  return has_aligned_rows(args.query, args.dims) && has_aligned_rows(args.key, args.dims) &&
         has_aligned_rows(args.value, args.dims) && has_aligned_rows(args.grad, args.dims) &&
         has_aligned_rows(args.out, args.dims) && has_aligned_rows(args.grad_query, args.dims) &&
         has_aligned_rows(args.grad_key, args.dims) && has_aligned_rows(args.grad_value, args.dims);
}

// Decides how to run a kernel on args whose tensors and sizes are set. `cache`: the kernel keeps
// probabilities where they fit; `limit`: bytes of shared memory that a block may have. Returns the
// bytes that it needs: less than 96 KB without the cache, which every GPU from sm_80 on has.
template <typename Layout>
int64_t plan_attention(AttentionArgs<typename Layout::scalar>& args, bool cache, int64_t limit) {
  const int64_t all = round_up(Layout::offsets(args.radius), Layout::kLanes);
  args.chunk = Layout::kLanes;
  while (args.chunk < all && Layout::staged_bytes(args.chunk + Layout::kLanes) <= kAttentionShared)
    args.chunk += Layout::kLanes;
  args.tiles = int(ceil_div(args.steps, Layout::kTile));
  const int64_t bytes = Layout::staged_bytes(args.chunk) + Layout::row_bytes(args.chunk);
  const int64_t cache_bytes = Layout::cache_bytes(args.radius);
  args.cached = cache && cache_bytes <= kAttentionCache && bytes + cache_bytes <= limit;
  args.wide = has_wide_rows(args);
  return bytes + (args.cached ? cache_bytes : 0);
}

// Where a thread works.
template <typename Layout>
struct ThreadPlace {
  int n, h;
  int tile_start, group, lane, first;  // `first`: the group's first step.
  int begin, end;                      // The offsets at which any group of the block sees a step.

  template <typename Args>
  __device__ __forceinline__ explicit ThreadPlace(const Args& args) {
    const int head = int(blockIdx.x) / args.tiles;
    n = head / args.heads;
    h = head % args.heads;
    tile_start = int(blockIdx.x) % args.tiles * Layout::kTile;
    group = threadIdx.x / Layout::kLanes;
    lane = threadIdx.x % Layout::kLanes;
    first = tile_start + group * Layout::kRows;
    begin = max(0, args.radius - (tile_start + Layout::kTile - Layout::kRows));
    end = min(2 * args.radius + Layout::kRows, args.steps + args.radius - tile_start);
  }

  // Whether the group's row r and the step at an offset see each other.
  __device__ __forceinline__ bool sees(int r, int offset, int radius) const {
    return offset >= r && offset - r <= 2 * radius;
  }

  __device__ __forceinline__ static int channel(int lane, int vector) {
    return (vector * Layout::kLanes + lane) * Layout::kVector;
  }
};

template <typename Args>
__device__ __forceinline__ bool is_valid(const Args& args, int n, int t) {
  return t >= 0 && t < args.steps && (args.mask == nullptr || args.mask[int64_t(n) * args.steps + t]);
}

// Where (N, H, T) holds a step of the thread's head.
template <typename Args, typename Position>
__device__ __forceinline__ int64_t flat(const Args& args, const Position& place, int t) {
  return (int64_t(place.n) * args.heads + place.h) * args.steps + t;
}

// The lane's channels of one row in global memory; zeros for an invalid one.
template <typename Layout>
__device__ __forceinline__ void load_row(
    typename Layout::acc (&out)[Layout::kChannels], const typename Layout::scalar* row, int lane, int dims, bool wide,
    bool valid) {
#pragma unroll
  for (int u = 0; u < Layout::kChannels / Layout::kVector; ++u) {
    const int channel = ThreadPlace<Layout>::channel(lane, u);
    Vector<typename Layout::scalar> x;
#pragma unroll
    for (int k = 0; k < Layout::kVector; ++k) x.at[k] = zero<typename Layout::scalar>();
    if (valid && wide) {
      if (channel < dims) x = load_vector(row + channel);
    } else if (valid) {
#pragma unroll
      for (int k = 0; k < Layout::kVector; ++k)
        if (channel + k < dims) x.at[k] = row[channel + k];
    }
#pragma unroll
    for (int k = 0; k < Layout::kVector; ++k) out[u * Layout::kVector + k] = static_cast<typename Layout::acc>(x.at[k]);
  }
}

template <typename Layout>
__device__ __forceinline__ void store_row(
    typename Layout::scalar* row, const typename Layout::acc (&x)[Layout::kChannels], typename Layout::acc factor,
    int lane, int dims, bool wide) {
#pragma unroll
  for (int u = 0; u < Layout::kChannels / Layout::kVector; ++u) {
    const int channel = ThreadPlace<Layout>::channel(lane, u);
    Vector<typename Layout::scalar> y;
#pragma unroll
    for (int k = 0; k < Layout::kVector; ++k)
      y.at[k] = static_cast<typename Layout::scalar>(x[u * Layout::kVector + k] * factor);
    if (wide) {
      if (channel < dims) store_vector(row + channel, y);
    } else {
#pragma unroll
      for (int k = 0; k < Layout::kVector; ++k)
        if (channel + k < dims) row[channel + k] = y.at[k];
    }
  }
}

// The lane's channels of one staged row.
template <typename Layout>
__device__ __forceinline__ void read_staged(
    typename Layout::acc (&out)[Layout::kChannels], const typename Layout::scalar* row, int lane) {
#pragma unroll
  for (int u = 0; u < Layout::kChannels / Layout::kVector; ++u) {
    const auto x = load_vector(row + ThreadPlace<Layout>::channel(lane, u));
#pragma unroll
    for (int k = 0; k < Layout::kVector; ++k) out[u * Layout::kVector + k] = static_cast<typename Layout::acc>(x.at[k]);
  }
}

// Stages `rows` consecutive steps from `start` on; zeros for invalid ones and for channels from
// `dims` on. wait_for_copies() and a barrier must follow.
template <typename Layout, typename Args>
__device__ __forceinline__ void stage(
    typename Layout::scalar* shared, const TypedHeads<const typename Layout::scalar>& source, const Args& args,
    const ThreadPlace<Layout>& place, int start, int rows) {
  if (args.wide) {
    // A thread keeps its channels and steps down the rows: one addition per copy.
    constexpr int kVectors = Layout::kDims / Layout::kVector, kStride = kAttentionThreads / kVectors;
    static_assert(kAttentionThreads % kVectors == 0, "a row of vectors divides the block");
    const int channel = threadIdx.x % kVectors * Layout::kVector, first = threadIdx.x / kVectors;
    const bool used = channel < args.dims;
    const auto* from = source.row(place.n, place.h, start + first) + channel;
    for (int row = first; row < rows; row += kStride, from += kStride * source.step_stride) {
      const bool valid = used && is_valid(args, place.n, start + row);
      copy_vector(shared + row * Layout::kPitch + channel, valid ? from : source.data, valid);
    }
  } else if (source.has_rows()) {
    for (int i = threadIdx.x; i < rows * Layout::kDims; i += kAttentionThreads) {
      const int row = i / Layout::kDims, channel = i % Layout::kDims;
      const bool valid = channel < args.dims && is_valid(args, place.n, start + row);
      shared[row * Layout::kPitch + channel] =
          valid ? source.row(place.n, place.h, start + row)[channel] : zero<typename Layout::scalar>();
    }
  } else {
    // A warp reads neighbouring steps of one channel.
    for (int row = threadIdx.x % kWarp; row < rows; row += kWarp) {
      const bool valid = is_valid(args, place.n, start + row);
      const auto* const from = source.row(place.n, place.h, valid ? start + row : 0);
#pragma unroll 8
      for (int channel = threadIdx.x / kWarp; channel < Layout::kDims; channel += kAttentionThreads / kWarp)
        shared[row * Layout::kPitch + channel] =
            valid && channel < args.dims ? from[channel * source.channel_stride] : zero<typename Layout::scalar>();
    }
  }
}

// The lane's channels of the group's own rows, zeros for invalid ones; columns pass through `shared`.
// All threads of the block take part; a barrier must come before `shared` is written again.
template <typename Layout, typename Args>
__device__ __forceinline__ void load_tile(
    typename Layout::acc (&out)[Layout::kRows][Layout::kChannels],
    const TypedHeads<const typename Layout::scalar>& source, typename Layout::scalar* shared, const Args& args,
    const ThreadPlace<Layout>& place) {
  const bool direct = args.wide || source.has_rows();
  if (!direct) {
    stage<Layout>(shared, source, args, place, place.tile_start, Layout::kTile);
    __syncthreads();
  }
#pragma unroll
  for (int r = 0; r < Layout::kRows; ++r) {
    const int t = place.first + r;
    if (direct) {
      const bool valid = is_valid(args, place.n, t);
      load_row<Layout>(out[r], source.row(place.n, place.h, valid ? t : 0), place.lane, args.dims, args.wide, valid);
    } else {
      read_staged<Layout>(out[r], shared + (place.group * Layout::kRows + r) * Layout::kPitch, place.lane);
    }
  }
}

// Writes factors[r] * x[r] to the group's own rows; columns pass through `shared`, which no thread
// may still read. All threads of the block take part.
template <typename Layout, typename Args>
__device__ __forceinline__ void store_tile(
    const TypedHeads<typename Layout::scalar>& target,
    const typename Layout::acc (&x)[Layout::kRows][Layout::kChannels],
    const typename Layout::acc (&factors)[Layout::kRows], typename Layout::scalar* shared, const Args& args,
    const ThreadPlace<Layout>& place) {
  if (args.wide || target.has_rows()) {
#pragma unroll
    for (int r = 0; r < Layout::kRows; ++r)
      if (place.first + r < args.steps)
        store_row<Layout>(
            target.row(place.n, place.h, place.first + r), x[r], factors[r], place.lane, args.dims, args.wide);
    return;
  }
#pragma unroll
  for (int r = 0; r < Layout::kRows; ++r)
    store_row<Layout>(
        shared + (place.group * Layout::kRows + r) * Layout::kPitch, x[r], factors[r], place.lane, Layout::kDims, true);
  __syncthreads();
  for (int row = threadIdx.x % kWarp; row < Layout::kTile && place.tile_start + row < args.steps; row += kWarp) {
    auto* const to = target.row(place.n, place.h, place.tile_start + row);
#pragma unroll 8
    for (int channel = threadIdx.x / kWarp; channel < args.dims; channel += kAttentionThreads / kWarp)
      to[channel * target.channel_stride] = shared[row * Layout::kPitch + channel];
  }
}

template <int kLanes, typename acc>
__device__ __forceinline__ acc group_sum(acc x) {
#pragma unroll
  for (int half = kLanes / 2; half > 0; half /= 2) x += __shfl_xor_sync(kAllLanes, x, half, kLanes);
  return x;
}

template <int kLanes, typename acc>
__device__ __forceinline__ acc group_max(acc x) {
#pragma unroll
  for (int half = kLanes / 2; half > 0; half /= 2) x = larger(x, __shfl_xor_sync(kAllLanes, x, half, kLanes));
  return x;
}

// The lane's part of the products of the group's rows with one staged row.
template <typename Layout>
__device__ __forceinline__ void multiply_part(
    typename Layout::acc (&out)[Layout::kRows], const typename Layout::acc (&rows)[Layout::kRows][Layout::kChannels],
    const typename Layout::scalar* staged, int lane) {
  typename Layout::acc x[Layout::kChannels];
  read_staged<Layout>(x, staged, lane);
#pragma unroll
  for (int r = 0; r < Layout::kRows; ++r) {
    out[r] = 0;
#pragma unroll
    for (int c = 0; c < Layout::kChannels; ++c) out[r] += rows[r][c] * x[c];
  }
}

// Products with the staged rows first, first + half, first + 2 * half, ... below kLanes, added up over
// the lanes that differ in the bits from `half` on: such a lane keeps the row whose bits it has.
// Depth first, so that few parts are alive at a time; kLanes - 1 shuffles for kLanes products.
template <typename Layout, int half>
__device__ __forceinline__ void multiply_rows(
    typename Layout::acc (&out)[Layout::kRows], const typename Layout::acc (&rows)[Layout::kRows][Layout::kChannels],
    const typename Layout::scalar* staged, int lane) {
  if constexpr (half == Layout::kLanes) {
    multiply_part<Layout>(out, rows, staged, lane);
  } else {
    typename Layout::acc other[Layout::kRows];
    multiply_rows<Layout, 2 * half>(out, rows, staged, lane);
    multiply_rows<Layout, 2 * half>(other, rows, staged + half * Layout::kPitch, lane);
    const bool upper = lane & half;
#pragma unroll
    for (int r = 0; r < Layout::kRows; ++r) {
      const auto sent = upper ? out[r] : other[r];
      out[r] = (upper ? other[r] : out[r]) + __shfl_xor_sync(kAllLanes, sent, half, Layout::kLanes);
    }
  }
}

// Products of the group's rows with the `kLanes` staged rows from `staged` on: lane g is left with
// those of staged row g.
template <typename Layout>
__device__ __forceinline__ void multiply(
    typename Layout::acc (&out)[Layout::kRows], const typename Layout::acc (&rows)[Layout::kRows][Layout::kChannels],
    const typename Layout::scalar* staged, int lane) {
  multiply_rows<Layout, 1>(out, rows, staged, lane);
}

// sums[r] += weights[r] of lane b * staged row b, over the `kLanes` staged rows from `staged` on, the
// first of which is at `offset`. Rows outside of a window are left out: a NaN there, times a weight
// of 0, would be one. What is left out is the same for all groups, so no warp diverges.
template <typename Layout>
__device__ __forceinline__ void add_weighted(
    typename Layout::acc (&sums)[Layout::kRows][Layout::kChannels],
    const typename Layout::acc (&weights)[Layout::kRows], const typename Layout::scalar* staged,
    const ThreadPlace<Layout>& place, int offset, int radius) {
  using acc = typename Layout::acc;
  const int count = min(Layout::kLanes, 2 * radius + Layout::kRows - offset);
#pragma unroll 2
  for (int b = 0; b < count; ++b) {
    acc x[Layout::kChannels];
    read_staged<Layout>(x, staged + b * Layout::kPitch, place.lane);
#pragma unroll
    for (int r = 0; r < Layout::kRows; ++r) {
      const acc weight = __shfl_sync(kAllLanes, weights[r], b, Layout::kLanes);
      if (!place.sees(r, offset + b, radius)) continue;
#pragma unroll
      for (int c = 0; c < Layout::kChannels; ++c) sums[r][c] += weight * x[c];
    }
  }
}

// Zeros for the group's masked steps, which may hold sums of 0 * NaN.
template <typename Layout, typename Args>
__device__ __forceinline__ void clear_invalid(
    typename Layout::acc (&x)[Layout::kRows][Layout::kChannels], const Args& args, const ThreadPlace<Layout>& place) {
#pragma unroll
  for (int r = 0; r < Layout::kRows; ++r) {
    if (is_valid(args, place.n, place.first + r)) continue;
#pragma unroll
    for (int c = 0; c < Layout::kChannels; ++c) x[r][c] = 0;
  }
}

// Shared memory of a block: two staged tensors, then what each staged row has, then the cache.
template <typename Layout>
struct Staging {
  typename Layout::scalar *first, *second;
  typename Layout::acc* row_data;
  typename Layout::acc* cache;

  __device__ __forceinline__ Staging(unsigned char* shared, int chunk) {
    first = reinterpret_cast<typename Layout::scalar*>(shared);
    second = first + Layout::staged_rows(chunk) * Layout::kPitch;
    row_data = reinterpret_cast<typename Layout::acc*>(shared + Layout::staged_bytes(chunk));
    cache = reinterpret_cast<typename Layout::acc*>(shared + Layout::staged_bytes(chunk) + Layout::row_bytes(chunk));
  }
};

// Rows that the offsets [offset, end) need, at most those of one chunk.
template <typename Layout>
__device__ __forceinline__ int rows_needed(int offset, int end, int chunk) {
  const int offsets = min(chunk, (end - offset + Layout::kLanes - 1) / Layout::kLanes * Layout::kLanes);
  return Layout::kTile - Layout::kRows + offsets;
}

}  // namespace cuda
}  // namespace mmtad
