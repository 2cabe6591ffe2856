// AVX2, with BMI2 and POPCNT.
#include "simd/pack_kernels_body.hpp"
#include "simd/spectrum_kernels_body.hpp"

#if PREPIXEL_X86

#include <immintrin.h>

#define PREPIXEL_TARGET __attribute__((target("avx2,bmi2,popcnt")))

namespace prepixel {

namespace {

PREPIXEL_SPECTRUM_KERNELS(PREPIXEL_TARGET)

// PDEP turns a byte of bits into a mask of eight bytes and then moves the next values to the bytes that are set.
PREPIXEL_TARGET std::size_t expand_bits(const std::uint8_t* bits, std::size_t size, const std::uint8_t* values,
                                        const std::uint8_t* end, std::int8_t* out) {
  const std::uint8_t* at = values;
  std::size_t i = 0;
  for (; i < size && end - at >= 8; ++i, out += 8) {
    std::uint64_t eight = 0;
    std::memcpy(&eight, at, sizeof eight);
    eight = _pdep_u64(eight, _pdep_u64(bits[i], 0x0101010101010101u) * 255);
    std::memcpy(out, &eight, sizeof eight);
    at += _mm_popcnt_u64(bits[i]);
  }
  return static_cast<std::size_t>(at - values) + expand_one_by_one(bits + i, size - i, at, end, out);
}

PREPIXEL_PACK_KERNELS(PREPIXEL_TARGET)

}  // namespace

const Kernels& avx2_kernels() { return spectrum_table; }
const PackKernels& avx2_pack_kernels() { return pack_table; }

}  // namespace prepixel

#endif
