// Compiles the kernels for one instruction set: MMTAD_ISA is its namespace, MMTAD_BYTES the width
// of its registers. No include guard, and no function of a shared header: see kernels.h.

namespace mmtad::MMTAD_ISA {
namespace {

#include "cpu/simd.h"

#include "cpu/attention.h"
#include "cpu/attention_wide.h"

#include "cpu/attention_passes.h"
#include "cpu/fusion.h"

}  // namespace

extern const Kernels kernels;
const Kernels kernels = {
    MMTAD_NAME, attention_tile, attention_scratch, attention, fusion_scratch, fusion_forward, fusion_backward,
};

}  // namespace mmtad::MMTAD_ISA
