// The level of the oldest processors of an architecture. No intrinsics.
#include "simd/pack_kernels_body.hpp"
#include "simd/spectrum_kernels_body.hpp"

namespace prepixel {

namespace {

PREPIXEL_SPECTRUM_KERNELS()

std::size_t expand_bits(const std::uint8_t* bits, std::size_t size, const std::uint8_t* values,
                        const std::uint8_t* end, std::int8_t* out) {
  return expand_one_by_one(bits, size, values, end, out);
}

PREPIXEL_PACK_KERNELS()

}  // namespace

const Kernels& portable_kernels() { return spectrum_table; }
const PackKernels& portable_pack_kernels() { return pack_table; }

}  // namespace prepixel
