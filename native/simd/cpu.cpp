#include "simd/cpu.hpp"

namespace prepixel {

namespace {

CpuFeatures ask() {
  CpuFeatures features;
#if PREPIXEL_X86
  const bool bmi2 = __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
  features.avx2 = __builtin_cpu_supports("avx2");
  features.avx2_bmi2 = features.avx2 && bmi2;
  features.avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  // AMD's Zen 1 and 2 have PDEP in microcode.
  features.fast_deposit = bmi2 && !__builtin_cpu_is("znver1") && !__builtin_cpu_is("znver2");
#endif
  return features;
}

}  // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = ask();
  return features;
}

}  // namespace prepixel
