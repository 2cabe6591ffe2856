// The inner loops of packed images, compiled once per level of cpu.hpp.
#pragma once

#include <cstddef>
#include <cstdint>

#include "simd/cpu.hpp"

namespace prepixel {

struct PackKernels {
  std::uint64_t (*count_bits)(const std::uint8_t* bytes, std::size_t size);
  // Write one value per set bit and zero elsewhere; `out` has eight values per byte of bits. No byte at or after `end`
  // is read, whatever the bits are: values that would be there are zero. Return the number of values read.
  std::size_t (*expand_bits)(const std::uint8_t* bits, std::size_t size, const std::uint8_t* values,
                             const std::uint8_t* end, std::int8_t* out);
  void (*widen)(const std::int8_t* in, std::size_t count, std::int16_t* out);
  // out = in * step. Return whether any value is nonzero; nonzero values are or-ed to `used`.
  bool (*dequantize)(const std::int16_t* in, std::size_t count, float step, float* out, std::int16_t* used);
};

const PackKernels& pack_kernels();                // of the best level
const PackKernels& pack_kernels(Simd level);      // this machine must have the level

const PackKernels& portable_pack_kernels();
const PackKernels& avx2_pack_kernels();           // x86-64 only
const PackKernels& avx512_pack_kernels();
const PackKernels& neon_pack_kernels();           // 64-bit ARM only

}  // namespace prepixel
