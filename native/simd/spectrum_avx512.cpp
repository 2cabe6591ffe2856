#include "simd/spectrum_kernels_body.hpp"

#if PREPIXEL_X86

namespace prepixel {

namespace {

PREPIXEL_LEVEL(avx512, __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,prefer-vector-width=512"))))

}  // namespace

const Kernels& avx512_kernels() { return avx512::table; }

}  // namespace prepixel

#endif
