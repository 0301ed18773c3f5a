// Runs tasks on torch's threads, each with scratch memory of its own.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/Parallel.h>
#include <c10/core/CPUAllocator.h>

#include "cpu/kernels.h"

namespace mmtad {

inline Dtype dtype_of(const at::Tensor& x) {
  switch (x.scalar_type()) {
    case at::kFloat: return Dtype::Float;
    case at::kDouble: return Dtype::Double;
    case at::kHalf: return Dtype::Half;
    case at::kBFloat16: return Dtype::BFloat16;
    default: TORCH_CHECK(false, "mmtad_decomp: no kernel for ", x.scalar_type());
  }
}

// Calls f(begin, end, scratch) for parts of [0, count); `grain` is the least worth a thread.
template <typename F>
void parallel_with_scratch(int64_t count, int64_t grain, int64_t bytes, F f) {
  at::parallel_for(0, count, grain, [&](int64_t begin, int64_t end) {
    const at::DataPtr memory = c10::GetCPUAllocator()->allocate(bytes);  // aligned to 64 bytes
    f(begin, end, memory.get());
  });
}

}  // namespace mmtad
