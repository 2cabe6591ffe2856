#include "simd/spectrum_kernels.hpp"

#include "simd/cpu.hpp"

namespace prepixel {

bool has_simd(Simd level) {
  switch (level) {
    case Simd::avx512: return cpu_features().avx512;
    case Simd::avx2: return cpu_features().avx2;
    case Simd::portable: break;
  }
  return true;
}

Simd best_simd() {
  static const Simd best = has_simd(Simd::avx512) ? Simd::avx512 : has_simd(Simd::avx2) ? Simd::avx2 : Simd::portable;
  return best;
}

const Kernels& kernels(Simd level) {
#if PREPIXEL_X86
  if (level == Simd::avx512) return avx512_kernels();
  if (level == Simd::avx2) return avx2_kernels();
#else
  static_cast<void>(level);
#endif
  return portable_kernels();
}

}  // namespace prepixel
