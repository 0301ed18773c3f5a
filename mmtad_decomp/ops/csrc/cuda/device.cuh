// What the CUDA kernels share. Nothing here or in the kernel headers needs torch, so they compile
// alone, and with a C++ compiler under the emulation that the tests run.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace mmtad {
namespace cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

// Sums of float16, bfloat16 and float32 are kept in float32, those of float64 in float64.
template <typename scalar>
struct Accumulate {
  using type = float;
};
template <>
struct Accumulate<double> {
  using type = double;
};
template <typename scalar>
using acc_of = typename Accumulate<scalar>::type;

// Sixteen bytes, the widest access that one thread can make.
template <typename scalar>
struct alignas(16) Vector {
  static constexpr int kSize = 16 / sizeof(scalar);
  scalar at[kSize];
};

template <typename scalar>
__device__ __forceinline__ Vector<scalar> load_vector(const scalar* source) {
  return *reinterpret_cast<const Vector<scalar>*>(source);
}

template <typename scalar>
__device__ __forceinline__ void store_vector(scalar* target, const Vector<scalar>& x) {
  *reinterpret_cast<Vector<scalar>*>(target) = x;
}

template <typename scalar>
__device__ __forceinline__ scalar zero() {
  return static_cast<scalar>(0.f);
}

// Copies 16 bytes from global to shared memory in the background, or writes zeros there without
// reading. wait_for_copies() ends it for the thread's own copies; a barrier follows for the others'.
template <typename scalar>
__device__ __forceinline__ void copy_vector(scalar* shared, const scalar* global, bool valid) {
#ifdef __CUDA_ARCH__
  const auto target = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(target), "l"(global), "r"(valid ? 16 : 0)
               : "memory");
#else
  Vector<scalar> x;
  for (int i = 0; i < Vector<scalar>::kSize; ++i) x.at[i] = zero<scalar>();
  if (valid) x = load_vector(global);
  store_vector(shared, x);
#endif
}

__device__ __forceinline__ void wait_for_copies() {
#ifdef __CUDA_ARCH__
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

__device__ __forceinline__ float power_of_2(float x) { return exp2f(x); }
__device__ __forceinline__ double power_of_2(double x) { return exp2(x); }
__device__ __forceinline__ float logarithm_2(float x) { return log2f(x); }
__device__ __forceinline__ double logarithm_2(double x) { return log2(x); }
__device__ __forceinline__ float larger(float a, float b) { return fmaxf(a, b); }
__device__ __forceinline__ double larger(double a, double b) { return fmax(a, b); }
__device__ __forceinline__ float sigmoid(float x) { return 1.f / (1.f + expf(-x)); }
__device__ __forceinline__ double sigmoid(double x) { return 1. / (1. + exp(-x)); }

// ln 2 and its inverse: powers of 2 are the cheap ones.
constexpr double kLn2 = 0.693147180559945309417232121458;

template <typename acc>
__device__ __forceinline__ acc infinity() {
  return static_cast<acc>(INFINITY);
}

__device__ __forceinline__ bool is_finite(float x) { return fabsf(x) < infinity<float>(); }

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

}  // namespace cuda
}  // namespace mmtad
