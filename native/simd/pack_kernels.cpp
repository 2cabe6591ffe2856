#include "simd/pack_kernels.hpp"

#include <bit>
#include <cstring>

#include "simd/cpu.hpp"

#if PREPIXEL_X86
#include <immintrin.h>
#endif

#define PREPIXEL_INLINE [[gnu::always_inline]] inline

namespace prepixel {

namespace {

PREPIXEL_INLINE std::uint64_t count(const std::uint8_t* bytes, std::size_t size) {
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

namespace portable {

std::uint64_t count_bits(const std::uint8_t* bytes, std::size_t size) { return count(bytes, size); }

std::size_t expand_bits(const std::uint8_t* bits, std::size_t size, const std::uint8_t* values,
                        const std::uint8_t* end, std::int8_t* out) {
  return expand_one_by_one(bits, size, values, end, out);
}

void widen(const std::int8_t* in, std::size_t size, std::int16_t* out) { widen_all(in, size, out); }

bool dequantize(const std::int16_t* in, std::size_t size, float step, float* out, std::int16_t* used) {
  return dequantize_all(in, size, step, out, used);
}

constexpr PackKernels table = {count_bits, expand_bits, widen, dequantize};

}  // namespace portable

#if PREPIXEL_X86

#define PREPIXEL_V3 __attribute__((target("avx2,bmi2,popcnt")))

namespace v3 {

PREPIXEL_V3 std::uint64_t count_bits(const std::uint8_t* bytes, std::size_t size) { return count(bytes, size); }

// Eight blocks at once: a byte of bits becomes a mask of eight bytes, and the next values go where it is set.
PREPIXEL_V3 std::size_t expand_bits(const std::uint8_t* bits, std::size_t size, const std::uint8_t* values,
                                    const std::uint8_t* end, std::int8_t* out) {
  const std::uint8_t* at = values;
  for (std::size_t i = 0; i < size; ++i, out += 8) {
    if (end - at < 8) return static_cast<std::size_t>(at - values) + expand_one_by_one(bits + i, size - i, at, end, out);
    const std::uint64_t set = bits[i];
    std::uint64_t eight = 0;
    std::memcpy(&eight, at, sizeof eight);
    eight = _pdep_u64(eight, _pdep_u64(set, 0x0101010101010101u) * 255);
    std::memcpy(out, &eight, sizeof eight);
    at += _mm_popcnt_u64(set);
  }
  return static_cast<std::size_t>(at - values);
}

PREPIXEL_V3 void widen(const std::int8_t* in, std::size_t size, std::int16_t* out) { widen_all(in, size, out); }

PREPIXEL_V3 bool dequantize(const std::int16_t* in, std::size_t size, float step, float* out, std::int16_t* used) {
  return dequantize_all(in, size, step, out, used);
}

constexpr PackKernels table = {count_bits, expand_bits, widen, dequantize};

}  // namespace v3

#endif

}  // namespace

const PackKernels& portable_pack_kernels() { return portable::table; }

const PackKernels& pack_kernels() {
#if PREPIXEL_X86
  if (cpu_features().avx2_bmi2) return v3::table;
#endif
  return portable::table;
}

}  // namespace prepixel
