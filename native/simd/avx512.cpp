// AVX-512 (F, BW, VL, DQ), with BMI2 and POPCNT.
#include "simd/pack_kernels_body.hpp"
#include "simd/spectrum_kernels_body.hpp"

#if PREPIXEL_X86

#include <immintrin.h>

#if defined(__clang__)  // has no such attribute, and would ignore all of it
#define PREPIXEL_WIDTH
#else
#define PREPIXEL_WIDTH ",prefer-vector-width=512"
#endif
#define PREPIXEL_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,bmi2,popcnt" PREPIXEL_WIDTH)))

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

const Kernels& avx512_kernels() { return spectrum_table; }
const PackKernels& avx512_pack_kernels() { return pack_table; }

}  // namespace prepixel

#endif
