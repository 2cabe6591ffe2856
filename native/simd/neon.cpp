// NEON, which every 64-bit ARM processor has. Loops are vectorized by the compiler; intrinsics where it is not able to.
#include "simd/pack_kernels_body.hpp"
#include "simd/spectrum_kernels_body.hpp"

#if PREPIXEL_ARM64

#include <arm_neon.h>

#include <array>

namespace prepixel {

namespace {

// For each byte of bits, the index of the value for each of its eight places; 255 for bits that are not set, which the
// table lookup turns into zero.
constexpr std::array<std::array<std::uint8_t, 8>, 256> source_of = [] {
  std::array<std::array<std::uint8_t, 8>, 256> table{};
  for (unsigned bits = 0; bits < 256; ++bits) {
    std::uint8_t next = 0;
    for (std::size_t place = 0; place < 8; ++place)
      table[bits][place] = (bits >> place & 1) != 0 ? next++ : std::uint8_t{255};
  }
  return table;
}();

std::size_t expand_bits(const std::uint8_t* bits, std::size_t size, const std::uint8_t* values,
                        const std::uint8_t* end, std::int8_t* out) {
  const std::uint8_t* at = values;
  std::size_t i = 0;
  for (; i < size && end - at >= 8; ++i, out += 8) {
    vst1_s8(out, vreinterpret_s8_u8(vtbl1_u8(vld1_u8(at), vld1_u8(source_of[bits[i]].data()))));
    at += std::popcount(bits[i]);
  }
  return static_cast<std::size_t>(at - values) + expand_one_by_one(bits + i, size - i, at, end, out);
}

PREPIXEL_SPECTRUM_KERNELS()
PREPIXEL_PACK_KERNELS()

}  // namespace

const Kernels& neon_kernels() { return spectrum_table; }
const PackKernels& neon_pack_kernels() { return pack_table; }

}  // namespace prepixel

#endif
