// Chooses the kernels for the machine, or those that ATEN_CPU_CAPABILITY asks for, as torch does.
#include <cstdlib>
#include <string>

#include "cpu/kernels.h"

namespace mmtad {

namespace baseline {
extern const Kernels kernels;
}
namespace avx2 {
extern const Kernels kernels;
}
namespace avx512 {
extern const Kernels kernels;
}

static const Kernels& choose() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool has_avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  const char* variable = std::getenv("ATEN_CPU_CAPABILITY");
  const std::string wanted = variable ? variable : "";
  if (has_avx512 && wanted != "avx2" && wanted != "default") return avx512::kernels;
  if (has_avx2 && wanted != "default") return avx2::kernels;
#endif
  return baseline::kernels;
}

const Kernels& kernels() {
  static const Kernels& chosen = choose();
  return chosen;
}

}  // namespace mmtad
