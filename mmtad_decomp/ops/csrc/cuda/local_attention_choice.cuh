// Which kernel of local_attention runs, and with how much shared memory.
#pragma once

#include "local_attention_backward_kernels.cuh"
#include "local_attention_kernels.cuh"
#include "local_attention_mma_kernels.cuh"

namespace mmtad {
namespace cuda {

enum class AttentionPass { kForward, kGradQuery, kGradKeyValue };

template <typename scalar>
struct AttentionChoice {
  void (*kernel)(AttentionArgs<scalar>);
  int64_t shared_bytes;
};

// Plans a pass over args whose tensors and sizes are set. Tensor cores take half types of up to 128
// channels, where the whole window of a tile fits the `limit` of shared memory.
template <typename scalar, int dims>
AttentionChoice<scalar> choose_attention(
    AttentionArgs<scalar>& args, AttentionPass pass, bool tensor_cores, int64_t limit) {
  const bool forward = pass == AttentionPass::kForward, grad_query = pass == AttentionPass::kGradQuery;
  if constexpr (sizeof(scalar) == 2 && dims <= kMaxMmaDims) {
    const int64_t bytes = tensor_cores ? plan_mma<MmaLayout<scalar, dims>>(args, forward ? 1 : 2) : limit + 1;
    if (bytes <= limit)
      return {
          forward      ? local_attention_mma_kernel<scalar, dims>
          : grad_query ? local_attention_mma_backward_kernel<scalar, dims, true>
                       : local_attention_mma_backward_kernel<scalar, dims, false>,
          bytes};
  }
  const int64_t bytes = plan_attention<AttentionLayout<scalar, dims>>(args, grad_query, limit);
  return {
      forward      ? local_attention_kernel<scalar, dims>
      : grad_query ? local_attention_grad_query_kernel<scalar, dims>
                   : local_attention_grad_key_value_kernel<scalar, dims>,
      bytes};
}

}  // namespace cuda
}  // namespace mmtad
