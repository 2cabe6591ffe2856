#include "simd/spectrum_kernels_body.hpp"

#if PREPIXEL_X86

namespace prepixel {

namespace {

PREPIXEL_LEVEL(avx2, __attribute__((target("avx2"))))

}  // namespace

const Kernels& avx2_kernels() { return avx2::table; }

}  // namespace prepixel

#endif
