// Which coefficients of a block are not zero. Inline, since the encoder calls it per block: it uses what every
// processor of the architecture has, SSE2 or NEON, so nothing is selected at run time.
#pragma once

#include <cstdint>

#include "simd/cpu.hpp"

#if PREPIXEL_X86
#include <emmintrin.h>
#elif PREPIXEL_ARM64
#include <arm_neon.h>
#endif

namespace prepixel {

// Return one bit per coefficient of 64 that is not zero, bit i for block[i].
inline std::uint64_t nonzero_mask(const std::int16_t* block) {
#if PREPIXEL_X86
  std::uint64_t zero = 0;
  const __m128i none = _mm_setzero_si128();
  for (int pair = 0; pair < 4; ++pair) {
    const auto* rows = reinterpret_cast<const __m128i*>(block + 16 * pair);
    const __m128i bytes = _mm_packs_epi16(_mm_cmpeq_epi16(_mm_loadu_si128(rows), none),
                                          _mm_cmpeq_epi16(_mm_loadu_si128(rows + 1), none));
    zero |= static_cast<std::uint64_t>(static_cast<std::uint32_t>(_mm_movemask_epi8(bytes))) << (16 * pair);
  }
  return ~zero;
#elif PREPIXEL_ARM64
  constexpr std::uint8_t places[8] = {1, 2, 4, 8, 16, 32, 64, 128};
  const uint8x8_t place = vld1_u8(places);
  std::uint64_t nonzero = 0;
  for (int row = 0; row < 8; ++row) {
    const int16x8_t values = vld1q_s16(block + 8 * row);
    const std::uint8_t eight = vaddv_u8(vand_u8(vmovn_u16(vtstq_s16(values, values)), place));
    nonzero |= std::uint64_t{eight} << (8 * row);
  }
  return nonzero;
#else
  std::uint64_t nonzero = 0;
  for (int i = 0; i < 64; ++i) nonzero |= static_cast<std::uint64_t>(block[i] != 0) << i;
  return nonzero;
#endif
}

}  // namespace prepixel
