// What the compiler's baseline gives: SSE2 on x86-64, NEON on aarch64.
#include "simd/spectrum_kernels_body.hpp"

namespace prepixel {

namespace {

PREPIXEL_LEVEL(portable, )

}  // namespace

const Kernels& portable_kernels() { return portable::table; }

}  // namespace prepixel
