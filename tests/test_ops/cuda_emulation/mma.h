// nvcuda::wmma on the CPU, for the emulation: matrices of 16 x 16, the types and layouts that kernels use.
//
// A lane holds 8 consecutive elements of a matrix's rows. mma_sync takes all lanes of a warp. Loads and stores
// move the lane's own elements at once, with no waiting: so a kernel needs its __syncwarp around them.
#pragma once

#include "emulation.h"

namespace nvcuda {
namespace wmma {

struct matrix_a {};
struct matrix_b {};
struct accumulator {};
struct row_major {};
struct col_major {};
enum layout_t { mem_row_major, mem_col_major };

constexpr int kSide = 16, kElements = kSide * kSide / 32;

template <typename use, int m, int n, int k, typename T, typename layout = row_major>
struct fragment {
  static_assert(m == kSide && n == kSide && k == kSide, "only 16 x 16 x 16 is emulated");
  float x[kElements];
};

// The lane's element i: its row and column.
inline int row_of(int i) { return (int(emulation::lane()) * kElements + i) / kSide; }
inline int column_of(int i) { return (int(emulation::lane()) * kElements + i) % kSide; }

template <typename T>
void check_access(const T* memory, unsigned pitch) {
  if (reinterpret_cast<uintptr_t>(memory) % 32 != 0 || pitch * sizeof(T) % 16 != 0)
    emulation::fail("a fragment's memory is not aligned");
}

template <typename use, typename T, typename layout>
void load_matrix_sync(fragment<use, kSide, kSide, kSide, T, layout>& to, const T* memory, unsigned pitch) {
  check_access(memory, pitch);
  for (int i = 0; i < kElements; ++i) {
    const bool by_rows = std::is_same<layout, row_major>::value;
    const int major = by_rows ? row_of(i) : column_of(i), minor = by_rows ? column_of(i) : row_of(i);
    to.x[i] = static_cast<float>(memory[major * pitch + minor]);
  }
}

inline void store_matrix_sync(
    float* memory, const fragment<accumulator, kSide, kSide, kSide, float>& from, unsigned pitch, layout_t layout) {
  check_access(memory, pitch);
  if (layout != mem_row_major) emulation::fail("only rows of results are emulated");
  for (int i = 0; i < kElements; ++i) memory[row_of(i) * pitch + column_of(i)] = from.x[i];
}

inline void fill_fragment(fragment<accumulator, kSide, kSide, kSide, float>& to, float value) {
  std::fill(to.x, to.x + kElements, value);
}

template <typename T, typename layout_a, typename layout_b>
void mma_sync(
    fragment<accumulator, kSide, kSide, kSide, float>& to,
    const fragment<matrix_a, kSide, kSide, kSide, T, layout_a>& a,
    const fragment<matrix_b, kSide, kSide, kSide, T, layout_b>& b,
    const fragment<accumulator, kSide, kSide, kSide, float>& c) {
  float (*const matrices)[kSide][kSide] = emulation::Block::instance().matrices();
  for (int i = 0; i < kElements; ++i) {
    matrices[0][row_of(i)][column_of(i)] = a.x[i];
    matrices[1][row_of(i)][column_of(i)] = b.x[i];
  }
  emulation::shuffle(4001, 0, 0);
  for (int i = 0; i < kElements; ++i) {
    float sum = c.x[i];
    for (int k = 0; k < kSide; ++k) sum += matrices[0][row_of(i)][k] * matrices[1][k][column_of(i)];
    to.x[i] = sum;
  }
  emulation::shuffle(4002, 0, 0);
}

}  // namespace wmma
}  // namespace nvcuda
