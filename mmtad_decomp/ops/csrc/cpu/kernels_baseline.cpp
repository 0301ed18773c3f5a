// The instructions that every machine of this architecture has: SSE2 or NEON.
#include <cstdint>
#include <type_traits>
#include <utility>

#include "cpu/kernels.h"

#define MMTAD_ISA baseline
#define MMTAD_NAME "baseline"
#define MMTAD_BYTES 16
#include "cpu/instantiate.h"
