// Rows of local_attentive_fusion: how threads divide them, and what they do with them.
//
// A row is one channel of one sequence, a team of 32 to 256 threads owns one. It puts its row into
// shared memory and slides the window along: S_t = S_{t-1} + x_{t+radius} - x_{t-radius-1} is a running
// sum in float64 (its differences of sums lose nothing that float32 could hold), whose cost does not
// depend on the window. Rows that do not fit shared memory are read where they lie.
#pragma once

#include "sliding_window.cuh"

namespace mmtad {
namespace cuda {

constexpr int kFusionThreads = 256;
// Shared memory that a block takes where one row fits it.
constexpr int64_t kFusionShared = 40 * 1024;

// A (N, C, T) tensor with consecutive steps.
template <typename scalar>
struct Rows {
  const scalar* data;
  int64_t batch_stride, channel_stride;
};

template <typename scalar>
struct FusionArgs {
  using acc = acc_of<scalar>;
  Rows<scalar> value, query, key, grad;
  scalar *out, *grad_value, *grad_query, *grad_key;  // Contiguous; null where nobody needs it.
  const bool* mask;     // (N, T), or null.
  const int* counts;    // (N, T): valid steps in the window of a valid step; null without a mask.
  acc* scratch;         // (N, C, T), where a row's gradients do not fit shared memory.
  int64_t rows;
  int channels, steps, radius, team;
  bool residual, wide;  // `wide`: rows start at, and hold a multiple of, 16 bytes.
  bool shared_rows;
};

struct FusionPlan {
  int threads;
  int64_t blocks, shared_bytes;
  bool fast;  // The kernel for wide rows, in shared memory where it keeps any.
};

// Elements of shared memory for one row; the padding keeps threads that read a vector apart off each
// other's banks.
template <typename scalar>
constexpr int64_t padded_steps(int64_t steps) {
  return steps + steps / Vector<scalar>::kSize + 1;
}

template <typename scalar>
bool has_aligned_rows(const Rows<scalar>& x) {
  constexpr int kSize = Vector<scalar>::kSize;
  return reinterpret_cast<uintptr_t>(x.data) % 16 == 0 && x.batch_stride % kSize == 0 && x.channel_stride % kSize == 0;
}

// A larger team where one vector per thread is not the row yet, and its threads would go through
// more than 16, or fewer than 1,024 fit a multiprocessor or are there for it.
template <typename scalar>
int choose_team(int64_t rows, int steps, int64_t row_bytes, int multiprocessors) {
  constexpr int kSize = Vector<scalar>::kSize;
  int team = kWarp;
  while (team < kFusionThreads && team * kSize < steps &&
         (team * kSize * 16 < steps || row_bytes > 192 * team || rows * team < 1024 * int64_t(multiprocessors)))
    team *= 2;
  return team;
}

// Decides how to run a kernel on args whose tensors and sizes are set. `row_buffers`: rows that a
// team keeps in shared memory: 0 for the mean over everything, which needs none, 1 forward, 2
// backward. `limit`: bytes of shared memory that a block may have.
template <typename scalar>
FusionPlan plan_fusion(FusionArgs<scalar>& args, int row_buffers, int multiprocessors, int64_t limit) {
  using acc = acc_of<scalar>;
  constexpr int kSize = Vector<scalar>::kSize;
  args.wide = args.steps % kSize == 0 && reinterpret_cast<uintptr_t>(args.mask) % 16 == 0 &&
              has_aligned_rows(args.value) && has_aligned_rows(args.query) && has_aligned_rows(args.key) &&
              has_aligned_rows(args.grad);
  const int64_t row_bytes = row_buffers * padded_steps<scalar>(args.steps) * int64_t(sizeof(acc));
  args.team = choose_team<scalar>(args.rows, args.steps, row_bytes, multiprocessors);
  args.shared_rows = row_buffers > 0;
  // Per warp two running sums in turn; per thread a vector where the order of steps changes.
  const auto bytes = [&](int teams) {
    const int64_t threads = int64_t(teams) * args.team;
    return round_up(2 * threads / kWarp * sizeof(double), 16) +
           (args.wide ? 0 : round_up(threads * (kSize + 1) * sizeof(acc), 16)) +
           (args.shared_rows ? teams * row_bytes : 0);
  };
  int teams = kFusionThreads / args.team;
  while (teams > 1 && bytes(teams) > kFusionShared) teams /= 2;
  if (bytes(teams) > limit) {
    args.shared_rows = false;
    teams = kFusionThreads / args.team;
  }
  FusionPlan plan{};
  plan.threads = args.team * teams;
  plan.blocks = ceil_div(args.rows, teams);
  plan.shared_bytes = bytes(teams);
  plan.fast = args.wide && (args.shared_rows || row_buffers == 0);
  return plan;
}

template <int size>
struct alignas(size) Bytes {
  unsigned char at[size];
};

// What a thread needs of its steps in one tile.
template <typename scalar, int kVector>
struct FusionTile {
  using acc = acc_of<scalar>;
  Vector<scalar> value, key, grad;
  int counts[kVector];  // Valid steps in each one's window.
  unsigned valid;       // One bit per step.

  __device__ __forceinline__ bool is_valid(int i) const { return valid >> i & 1; }
  __device__ __forceinline__ acc of(const Vector<scalar>& x, int i) const {
    return is_valid(i) ? static_cast<acc>(x.at[i]) : acc(0);
  }
};

// One team's row: where it lies, and what its shared memory is for. `fast`: the row is wide, and in
// shared memory where the kernel has a use for that; code for the other cases would cost registers.
template <typename scalar, bool fast>
struct FusionRow {
  using acc = acc_of<scalar>;
  static constexpr int kVector = Vector<scalar>::kSize;
  using Tile = FusionTile<scalar, kVector>;
  const FusionArgs<scalar>& args;
  Team team;
  acc *spread, *buffers;  // Of the team: a vector per thread, and the rows.
  int64_t row;
  bool active;            // The last block may have teams without a row; they share its barriers.
  const scalar *value, *query, *key, *grad;
  const bool* mask;
  const int* counts;

  __device__ __forceinline__ FusionRow(const FusionArgs<scalar>& args, unsigned char* shared, int row_buffers)
      : args(args), team(args.team, shared) {
    const int teams = blockDim.x / args.team;
    unsigned char* at = shared + round_up(2 * (blockDim.x / kWarp) * sizeof(double), 16);
    spread = reinterpret_cast<acc*>(at) + team.index * team.size * (kVector + 1);
    if (!wide()) at += round_up(blockDim.x * (kVector + 1) * sizeof(acc), 16);
    buffers = reinterpret_cast<acc*>(at) + team.index * row_buffers * padded_steps<scalar>(args.steps);
    row = int64_t(blockIdx.x) * teams + team.index;
    active = row < args.rows;
    if (!active) row = 0;
    const int64_t n = row / args.channels, c = row % args.channels;
    const auto start = [&](const Rows<scalar>& x) { return x.data + n * x.batch_stride + c * x.channel_stride; };
    value = start(args.value);
    query = start(args.query);
    key = start(args.key);
    grad = start(args.grad);
    mask = args.mask == nullptr ? nullptr : args.mask + n * args.steps;
    counts = args.counts == nullptr ? nullptr : args.counts + n * args.steps;
  }

  __device__ __forceinline__ bool wide() const { return fast || args.wide; }
  __device__ __forceinline__ bool shared_rows() const { return fast || args.shared_rows; }

  __device__ __forceinline__ static int padded_index(int t) { return t + t / kVector; }

  __device__ __forceinline__ bool is_valid(int t) const { return mask == nullptr || mask[t]; }

  __device__ __forceinline__ acc query_at(int t) const { return is_valid(t) ? static_cast<acc>(query[t]) : acc(0); }

  // Bits of the valid ones among kVector steps from t on, in a wide row.
  __device__ __forceinline__ unsigned valid_bits(int t) const {
    if (mask == nullptr) return (1u << kVector) - 1;
    const auto bytes = *reinterpret_cast<const Bytes<kVector>*>(mask + t);
    unsigned bits = 0;
#pragma unroll
    for (int i = 0; i < kVector; ++i)
      if (bytes.at[i] != 0) bits |= 1u << i;
    return bits;
  }

  // Calls use(t, x) for each of the team's steps with the query there, 0 where masked.
  template <typename Use>
  __device__ __forceinline__ void for_query(Use use) const {
    if (!wide()) {
#pragma unroll 4
      for (int t = team.lane; t < args.steps; t += team.size) use(t, query_at(t));
      return;
    }
#pragma unroll 4
    for (int t = team.lane * kVector; t < args.steps; t += team.size * kVector) {
      const auto x = load_vector(query + t);
      const unsigned valid = valid_bits(t);
#pragma unroll
      for (int i = 0; i < kVector; ++i) use(t + i, valid >> i & 1 ? static_cast<acc>(x.at[i]) : acc(0));
    }
  }

  // The thread's step i in the tile from `start` on: consecutive ones in a wide row, and elsewhere
  // `team.size` apart, so that neighbouring threads read neighbours.
  __device__ __forceinline__ int step(int start, int i) const {
    return start + (wide() ? team.lane * kVector + i : i * team.size + team.lane);
  }

  __device__ __forceinline__ int window_size(int t) const {
    return min(t + args.radius, args.steps - 1) - max(t - args.radius, 0) + 1;
  }

  __device__ __forceinline__ Tile fetch(int start, bool with_grad) const {
    Tile tile;
    tile.valid = 0;
    if (wide()) {
      const int t = step(start, 0);
      if (t >= args.steps) return tile;
      tile.value = load_vector(value + t);
      tile.key = load_vector(key + t);
      if (with_grad) tile.grad = load_vector(grad + t);
      tile.valid = valid_bits(t);
#pragma unroll
      for (int i = 0; i < kVector; i += 2) {
        Bytes<8> pair;
        if (counts != nullptr) pair = *reinterpret_cast<const Bytes<8>*>(counts + t + i);
        if (counts != nullptr) memcpy(tile.counts + i, &pair, 8);
        if (counts == nullptr) tile.counts[i] = window_size(t + i), tile.counts[i + 1] = window_size(t + i + 1);
      }
    } else {
#pragma unroll
      for (int i = 0; i < kVector; ++i) {
        const int t = step(start, i);
        if (t >= args.steps) continue;
        tile.value.at[i] = value[t];
        tile.key.at[i] = key[t];
        if (with_grad) tile.grad.at[i] = grad[t];
        if (is_valid(t)) tile.valid |= 1u << i;
        tile.counts[i] = counts != nullptr ? counts[t] : window_size(t);
      }
    }
    return tile;
  }

  __device__ __forceinline__ void store(scalar* target, const acc (&x)[kVector], int start) const {
    if (!active || target == nullptr) return;
    target += row * args.steps;
    Vector<scalar> y;
#pragma unroll
    for (int i = 0; i < kVector; ++i) y.at[i] = static_cast<scalar>(x[i]);
    if (wide()) {
      if (step(start, 0) < args.steps) store_vector(target + step(start, 0), y);
    } else {
#pragma unroll
      for (int i = 0; i < kVector; ++i)
        if (step(start, i) < args.steps) target[step(start, i)] = y.at[i];
    }
  }

  // Writes the enhanced values of the thread's steps.
  __device__ __forceinline__ void enhance(const Tile& tile, const acc (&mean)[kVector], int start) const {
    acc out[kVector];
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      const acc gate = sigmoid(mean[i] * tile.of(tile.key, i)) + acc(args.residual);
      out[i] = tile.is_valid(i) ? tile.of(tile.value, i) * gate : acc(0);
    }
    store(args.out, out, start);
  }

  // Writes dvalue and dkey of the thread's steps, and replaces each mean by its gradient.
  __device__ __forceinline__ void differentiate(const Tile& tile, acc (&mean)[kVector], int start) const {
    acc grad_value[kVector], grad_key[kVector];
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      const acc g = tile.of(tile.grad, i), v = tile.of(tile.value, i), k = tile.of(tile.key, i);
      const acc gate = sigmoid(mean[i] * k);
      const acc grad_logit = g * v * gate * (1 - gate);
      grad_value[i] = tile.is_valid(i) ? g * (gate + acc(args.residual)) : acc(0);
      grad_key[i] = tile.is_valid(i) ? grad_logit * mean[i] : acc(0);
      mean[i] = tile.is_valid(i) ? grad_logit * k : acc(0);
    }
    store(args.grad_value, grad_value, start);
    store(args.grad_key, grad_key, start);
  }

  // The mean over all valid steps; `valid`: how many there are.
  __device__ __forceinline__ acc mean_of_all(int& valid) {
    double part = 0;
    for_query([&](int, acc x) { part += x; });
    valid = args.steps;
    if (mask != nullptr) {
      int counted = 0;
      for (int t = team.lane; t < args.steps; t += team.size) counted += mask[t];
      valid = max(team.sum(counted), 1);
    }
    return static_cast<acc>(team.sum(part) / valid);
  }

  // Window sums of load(t), tile by tile: use(sums, tile, start) with the thread's steps.
  template <typename Load, typename Fetch, typename Use>
  __device__ __forceinline__ void for_windows(const Load& load, Fetch fetch, Use use) {
    acc sums[kVector];
    if (is_narrow<kVector>(args.radius)) {
#pragma unroll 2
      for (int start = 0; start < args.steps; start += team.size * kVector) {
        const auto tile = fetch(start);
        sum_narrow(sums, load, start + team.lane * kVector, args.steps, args.radius);
        to_own_steps(sums);
        use(sums, tile, start);
      }
      return;
    }
    SlidingWindow<kVector, double, Load> window(load, args.steps, args.radius, team);
#pragma unroll 1
    for (int start = 0; start < args.steps; start += team.size * kVector) {
      const auto tile = fetch(start);
      double running[kVector];
      window.next(running, start + team.lane * kVector, team);
#pragma unroll
      for (int i = 0; i < kVector; ++i) sums[i] = static_cast<acc>(running[i]);
      to_own_steps(sums);
      use(sums, tile, start);
    }
  }

  // From the windows' order, consecutive steps, to the thread's.
  __device__ __forceinline__ void to_own_steps(acc (&sums)[kVector]) const {
    if (wide()) return;
    // The one before may be read still.
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kVector; ++i) spread[team.lane * (kVector + 1) + i] = sums[i];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kVector; ++i) sums[i] = spread[padded_index(step(0, i))];
  }

  // Means of the query over the windows: use(mean, tile, start).
  template <typename Use>
  __device__ __forceinline__ void for_means(bool with_grad, Use use) {
    const auto fetch = [&](int start) { return this->fetch(start, with_grad); };
    const auto average = [&](acc(&sums)[kVector], const Tile& tile, int start) {
#pragma unroll
      for (int i = 0; i < kVector; ++i) sums[i] = tile.is_valid(i) ? sums[i] / acc(tile.counts[i]) : acc(0);
      use(sums, tile, start);
    };
    if (shared_rows()) {
      acc* const buffer = buffers;
      for_query([=](int t, acc x) { buffer[padded_index(t)] = x; });
      __syncthreads();
      for_windows([=](int t) { return buffer[padded_index(t)]; }, fetch, average);
    } else {
      for_windows([&](int t) { return query_at(t); }, fetch, average);
    }
  }
};

}  // namespace cuda
}  // namespace mmtad
