#include <torch/library.h>

#include "cuda/operators.h"

TORCH_LIBRARY_IMPL(mmtad_decomp, CUDA, m) {
  m.impl("local_attention", mmtad::cuda::local_attention);
  m.impl("local_attention_backward", mmtad::cuda::local_attention_backward);
  m.impl("local_attentive_fusion", mmtad::cuda::local_attentive_fusion);
  m.impl("local_attentive_fusion_backward", mmtad::cuda::local_attentive_fusion_backward);
}
