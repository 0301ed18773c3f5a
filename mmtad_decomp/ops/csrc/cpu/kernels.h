// What an instruction set's build of the kernels offers. No torch here: the kernels are compiled
// once per instruction set, and an inline function of a shared header, compiled for a newer
// one, could be the copy that the linker keeps for all.
#pragma once

#include <cstdint>

namespace mmtad {

enum class Dtype { Float, Double, Half, BFloat16 };

// A (N, H, T, D) tensor: strides in elements.
struct UntypedHeads {
  void* data;
  int64_t batch, head, step, dim;
};

struct AttentionArgs {
  Dtype dtype;
  int64_t heads, steps, dims, radius;
  const bool* mask;  // (N, T) contiguous, or null
  UntypedHeads query, key, value, out;
  UntypedHeads grad, grad_query, grad_key, grad_value;  // backward only; null: a gradient that nobody needs
  void *lse, *delta;                             // (N, H, T) contiguous, float or double
};

// Steps [first, first + tile size) of one head of one sequence.
struct Tile {
  int64_t n, h, first;
};

// (N, C, T) contiguous tensors.
struct FusionArgs {
  Dtype dtype;
  int64_t channels, steps, radius;  // radius >= steps - 1: the whole sequence
  bool residual;
  const bool* mask;     // (N, T) contiguous, or null
  const void* inverse;  // (N, T) float or double: 1 / valid steps in the window; 0 at masked steps
  const void *value, *query, *key, *grad;
  void *out, *grad_value, *grad_query, *grad_key;  // null: a gradient that nobody needs
};

// The backward pass of wide windows comes in two: GradQuery finds delta, of which GradKeyValue needs
// that of all queries around its tile. Their scratch grows with the window, not with its square.
enum class Pass { Forward, Backward, GradQuery, GradKeyValue };
constexpr int64_t kBackwardRadius = 64;  // The largest radius for Pass::Backward.

struct Kernels {
  const char* name;
  // Steps of one task, and bytes of scratch memory that a task needs, aligned to 64.
  int64_t (*attention_tile)(const AttentionArgs&);
  int64_t (*attention_scratch)(const AttentionArgs&, Pass);
  void (*attention)(const AttentionArgs&, Pass, Tile tile, void* scratch);
  int64_t (*fusion_scratch)(const FusionArgs&);
  // Rows [begin, end) of the N * C rows.
  void (*fusion_forward)(const FusionArgs&, int64_t begin, int64_t end, void* scratch);
  void (*fusion_backward)(const FusionArgs&, int64_t begin, int64_t end, void* scratch);
};

// The build for this machine's instruction set.
const Kernels& kernels();

}  // namespace mmtad
