// The inner loops of packed images, compiled twice and chosen when first used: as any processor of the kind runs them,
// and for those with AVX2 and BMI2. Both give the same.
#pragma once

#include <cstddef>
#include <cstdint>

namespace prepixel {

struct PackKernels {
  std::uint64_t (*count_bits)(const std::uint8_t* bytes, std::size_t size);
  // Write one value per set bit and zero elsewhere; `out` has eight values per byte of bits. No byte at or behind `end`
  // is read, whatever the bits are: values that would lie there are zero. Returns how many values were read.
  std::size_t (*expand_bits)(const std::uint8_t* bits, std::size_t size, const std::uint8_t* values,
                             const std::uint8_t* end, std::int8_t* out);
  void (*widen)(const std::int8_t* in, std::size_t count, std::int16_t* out);
  // out = in * step; whether any is not zero. Which are not is or-ed to `used`.
  bool (*dequantize)(const std::int16_t* in, std::size_t count, float step, float* out, std::int16_t* used);
};

const PackKernels& pack_kernels();
const PackKernels& portable_pack_kernels();

}  // namespace prepixel
