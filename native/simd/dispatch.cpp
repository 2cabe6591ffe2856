// The kernels of each level.
#include "simd/cpu.hpp"
#include "simd/pack_kernels.hpp"
#include "simd/spectrum_kernels.hpp"

namespace prepixel {

const Kernels& kernels(Simd level) {
  switch (level) {
#if PREPIXEL_X86
    case Simd::avx2: return avx2_kernels();
    case Simd::avx512: return avx512_kernels();
#endif
#if PREPIXEL_ARM64
    case Simd::neon: return neon_kernels();
#endif
    default: return portable_kernels();
  }
}

const PackKernels& pack_kernels(Simd level) {
  switch (level) {
#if PREPIXEL_X86
    case Simd::avx2: return avx2_pack_kernels();
    case Simd::avx512: return avx512_pack_kernels();
#endif
#if PREPIXEL_ARM64
    case Simd::neon: return neon_pack_kernels();
#endif
    default: return portable_pack_kernels();
  }
}

const PackKernels& pack_kernels() {
  static const PackKernels& best = pack_kernels(best_simd());
  return best;
}

}  // namespace prepixel
