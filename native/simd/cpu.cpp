#include "simd/cpu.hpp"

#include <initializer_list>

namespace prepixel {

namespace {

CpuFeatures query() {
  CpuFeatures features;
#if PREPIXEL_X86
  const bool bmi2 = __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
  features.avx2 = bmi2 && __builtin_cpu_supports("avx2");
  features.avx512 = features.avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  // AMD Zen 1 and 2 execute PDEP in microcode.
  features.fast_deposit = bmi2 && !__builtin_cpu_is("znver1") && !__builtin_cpu_is("znver2");
#endif
  features.neon = PREPIXEL_ARM64;  // part of every 64-bit ARM processor
  return features;
}

}  // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = query();
  return features;
}

bool has_simd(Simd level) {
  switch (level) {
    case Simd::avx2: return cpu_features().avx2;
    case Simd::avx512: return cpu_features().avx512;
    case Simd::neon: return cpu_features().neon;
    case Simd::portable: break;
  }
  return true;
}

Simd best_simd() {
  static const Simd best = [] {
    for (const Simd level : {Simd::avx512, Simd::avx2, Simd::neon})
      if (has_simd(level)) return level;
    return Simd::portable;
  }();
  return best;
}

const char* name_of(Simd level) {
  switch (level) {
    case Simd::avx2: return "avx2";
    case Simd::avx512: return "avx512";
    case Simd::neon: return "neon";
    case Simd::portable: break;
  }
  return "portable";
}

}  // namespace prepixel
