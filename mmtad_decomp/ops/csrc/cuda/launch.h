// What the launchers share: streams, shared memory above 48 KB, limits of grids.
#pragma once

#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "common/checks.h"
#include "cuda/device.cuh"

namespace mmtad {
namespace cuda {

// Starts a kernel on the current stream of the current device.
template <typename... Params, typename... Args>
void launch(
    void (*kernel)(Params...), int64_t blocks, int threads, int64_t shared_bytes, const char* op, Args&&... args) {
  TORCH_CHECK(blocks <= INT32_MAX, op, ": the tensors are too large: ", blocks, " blocks of threads");
  if (shared_bytes > 48 * 1024)
    C10_CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared_bytes)));
  kernel<<<unsigned(blocks), unsigned(threads), size_t(shared_bytes), c10::cuda::getCurrentCUDAStream().stream()>>>(
      std::forward<Args>(args)...);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

// A property of the current device.
inline int device_attribute(cudaDeviceAttr attribute) {
  int value = 0;
  C10_CUDA_CHECK(cudaDeviceGetAttribute(&value, attribute, c10::cuda::current_device()));
  return value;
}

// Calls call(scalar()) with the type that kernels use for the tensor's dtype.
template <typename Call>
void dispatch(const at::Tensor& x, const char* op, Call call) {
  switch (x.scalar_type()) {
    case at::kFloat: return call(float());
    case at::kDouble: return call(double());
    case at::kHalf: return call(__half());
    case at::kBFloat16: return call(__nv_bfloat16());
    default: TORCH_CHECK(false, op, ": the dtype must be float32, float64, float16 or bfloat16, got ", x.scalar_type());
  }
}

}  // namespace cuda
}  // namespace mmtad
