// The kernels of packed images as templates, which each level instantiates in its file.
#pragma once

#include <bit>
#include <cstring>

#include "simd/pack_kernels.hpp"
#include "simd/vectors.hpp"

namespace prepixel {

namespace {

PREPIXEL_INLINE std::uint64_t count_set(const std::uint8_t* bytes, std::size_t size) {
  std::uint64_t sum = 0;
  for (; size >= 8; size -= 8, bytes += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes, sizeof word);
    sum += static_cast<std::uint64_t>(std::popcount(word));
  }
  for (; size > 0; --size) sum += static_cast<std::uint64_t>(std::popcount(*bytes++));
  return sum;
}

PREPIXEL_INLINE std::size_t expand_one_by_one(const std::uint8_t* bits, std::size_t size, const std::uint8_t* values,
                                              const std::uint8_t* end, std::int8_t* out) {
  const std::uint8_t* at = values;
  for (std::size_t i = 0; i < size; ++i) {
    const unsigned eight = bits[i];
    for (int bit = 0; bit < 8; ++bit)
      *out++ = (eight >> bit & 1) != 0 && at != end ? static_cast<std::int8_t>(*at++) : std::int8_t{0};
  }
  return static_cast<std::size_t>(at - values);
}

PREPIXEL_INLINE void widen_all(const std::int8_t* __restrict in, std::size_t count, std::int16_t* __restrict out) {
  for (std::size_t i = 0; i < count; ++i) out[i] = in[i];
}

PREPIXEL_INLINE bool dequantize_all(const std::int16_t* __restrict in, std::size_t count, float step,
                                    float* __restrict out, std::int16_t* __restrict used) {
  std::int16_t any = 0;
  for (std::size_t i = 0; i < count; ++i) {
    out[i] = static_cast<float>(in[i]) * step;
    used[i] = static_cast<std::int16_t>(used[i] | in[i]);
    any = static_cast<std::int16_t>(any | in[i]);
  }
  return any != 0;
}

// clang-format off
// The table of a level whose function expand_bits is defined in the same namespace.
#define PREPIXEL_PACK_KERNELS(attribute)                                                                               \
  attribute std::uint64_t count_bits(const std::uint8_t* bytes, std::size_t size) { return count_set(bytes, size); }   \
  attribute void widen(const std::int8_t* in, std::size_t size, std::int16_t* out) { widen_all(in, size, out); }       \
  attribute bool dequantize(const std::int16_t* in, std::size_t size, float step, float* out, std::int16_t* used) {    \
    return dequantize_all(in, size, step, out, used);                                                                  \
  }                                                                                                                    \
  constexpr PackKernels pack_table = {count_bits, expand_bits, widen, dequantize};
// clang-format on

}  // namespace

}  // namespace prepixel
