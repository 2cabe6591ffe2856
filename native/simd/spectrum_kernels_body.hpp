// The kernels of the spectrum pipeline as templates, which each level instantiates in its file.
#pragma once

#include <bit>
#include <cstring>

#include "simd/spectrum_kernels.hpp"
#include "simd/vectors.hpp"
#include "spectrum/dct_basis.hpp"

namespace prepixel {

namespace {

PREPIXEL_INLINE bool any(const Half8& bits) {
  std::uint64_t words[2];
  std::memcpy(words, &bits, sizeof words);
  return (words[0] | words[1]) != 0;
}

template <bool exchange>
PREPIXEL_INLINE unsigned load_blocks(const std::int16_t* blocks, std::size_t block_step, std::size_t num_blocks,
                                     const float* table, float* lines, std::size_t stride, std::int16_t* used) {
  Half8 occupied[8] = {};
  for (std::size_t b = 0; b < num_blocks; ++b, blocks += block_step) {
    Half8 rows[8];
    for (int k = 0; k < 8; ++k) load(rows[k], blocks + 8 * k);
    if constexpr (exchange) transpose_8x8(rows);
    Half8 across;
    load(across, used + 8 * b);
    for (int k = 0; k < 8; ++k) across |= rows[k];
    store(used + 8 * b, across);
    for (int k = 0; k < 8; ++k) {
      occupied[k] |= rows[k];
      Float8 steps;
      load(steps, table + 8 * k);
      store(lines + static_cast<std::size_t>(k) * stride + 8 * b, __builtin_convertvector(rows[k], Float8) * steps);
    }
  }
  unsigned mask = 0;
  for (int k = 0; k < 8; ++k) mask |= static_cast<unsigned>(any(occupied[k])) << k;
  return mask;
}

template <int rows, int taps>
PREPIXEL_INLINE void accumulate_fixed(const float* __restrict matrix, const float* __restrict in,
                                      std::size_t in_stride, float* __restrict out, std::size_t out_stride,
                                      std::size_t width) {
  for (std::size_t x = 0; x < width; ++x) {
    for (int r = 0; r < rows; ++r) {
      float sum = out[static_cast<std::size_t>(r) * out_stride + x];
      for (int k = 0; k < taps; ++k) sum += matrix[8 * r + k] * in[static_cast<std::size_t>(k) * in_stride + x];
      out[static_cast<std::size_t>(r) * out_stride + x] = sum;
    }
  }
}

template <int rows>
PREPIXEL_INLINE void accumulate_taps(const float* matrix, int taps, const float* in, std::size_t in_stride, float* out,
                                     std::size_t out_stride, std::size_t width) {
  switch (taps) {
    case 1: return accumulate_fixed<rows, 1>(matrix, in, in_stride, out, out_stride, width);
    case 2: return accumulate_fixed<rows, 2>(matrix, in, in_stride, out, out_stride, width);
    case 3: return accumulate_fixed<rows, 3>(matrix, in, in_stride, out, out_stride, width);
    case 4: return accumulate_fixed<rows, 4>(matrix, in, in_stride, out, out_stride, width);
    case 5: return accumulate_fixed<rows, 5>(matrix, in, in_stride, out, out_stride, width);
    case 6: return accumulate_fixed<rows, 6>(matrix, in, in_stride, out, out_stride, width);
    case 7: return accumulate_fixed<rows, 7>(matrix, in, in_stride, out, out_stride, width);
    default: return accumulate_fixed<rows, 8>(matrix, in, in_stride, out, out_stride, width);
  }
}

PREPIXEL_INLINE void accumulate_rows(const float* matrix, int rows, int taps, const float* in, std::size_t in_stride,
                                     float* out, std::size_t out_stride, std::size_t width) {
  for (; rows >= 4; rows -= 4, matrix += 32, out += 4 * out_stride)
    accumulate_taps<4>(matrix, taps, in, in_stride, out, out_stride, width);
  switch (rows) {
    case 3: return accumulate_taps<3>(matrix, taps, in, in_stride, out, out_stride, width);
    case 2: return accumulate_taps<2>(matrix, taps, in, in_stride, out, out_stride, width);
    case 1: return accumulate_taps<1>(matrix, taps, in, in_stride, out, out_stride, width);
    default: return;
  }
}

PREPIXEL_INLINE void transpose_tiles(const float* in, std::size_t in_stride, std::size_t rows, std::size_t columns,
                                     float* out, std::size_t out_stride) {
  for (std::size_t r = 0; r < rows; r += 8) {
    for (std::size_t c = 0; c < columns; c += 8) {
      Float8 tile[8];
      for (std::size_t k = 0; k < 8; ++k) load(tile[k], in + (r + k) * in_stride + c);
      transpose_8x8(tile);
      for (std::size_t k = 0; k < 8; ++k) store(out + (c + k) * out_stride + r, tile[k]);
    }
  }
}

PREPIXEL_INLINE void add_weighted_samples(const double* weights, std::size_t count, std::size_t first, double* row) {
  for (std::size_t j = 0; j < count; ++j) {
    double* out = row + ((first + j) & ~std::size_t{7});
    Double8 sum, sample;
    load(sum, out);
    load(sample, dct_basis[(first + j) % 8].data());
    store(out, sum + weights[j] * sample);
  }
}

PREPIXEL_INLINE void keep_lowest(const double* rows, std::size_t num_blocks, std::size_t num_frequencies,
                                 const double* signs, float* out) {
  const std::size_t stride = 8 * num_blocks;
  for (std::size_t block = 0; block < num_blocks; ++block, rows += 8) {
    Double8 lines[8];
    for (std::size_t i = 0; i < 8; ++i) load(lines[i], rows + i * stride);
    for (std::size_t k = 0; k < num_frequencies; ++k, out += 8) {
      Double8 sum{};
      for (std::size_t i = 0; i < 8; ++i) sum += dct_basis[i][k] * lines[i];
      store(out, __builtin_convertvector(signs[k] * sum, Float8));
    }
  }
}

PREPIXEL_INLINE void scale_float(const float* __restrict in, std::size_t count, float factor, float offset,
                                 float* __restrict out) {
  for (std::size_t i = 0; i < count; ++i) out[i] = in[i] * factor + offset;
}

// Adding 1.5 * 2^23 leaves no bit for a fraction, so the addition itself rounds half to even.
constexpr float rounding = 12582912.0f;
constexpr float int8_limit = 127.0f;

// Rounded and clipped, eight at a time.
PREPIXEL_INLINE void round_to_int8(const float* in, float factor, float offset, std::int8_t* out) {
  Float8 value;
  load(value, in);
  value = value * factor + offset;
  value = value > -int8_limit ? value : Float8{} - int8_limit;  // also where it is no number
  value = value < int8_limit ? value : Float8{} + int8_limit;
  value += rounding;                              // its mantissa ends with the integer, in two's complement
  Byte32 bytes;
  std::memcpy(&bytes, &value, sizeof bytes);
  constexpr int last = std::endian::native == std::endian::little ? 0 : 3;
  store(out, __builtin_shufflevector(bytes, bytes, last, last + 4, last + 8, last + 12, last + 16, last + 20, last + 24,
                                     last + 28));
}

PREPIXEL_INLINE void scale_int8(const float* __restrict in, std::size_t count, float factor, float offset,
                                std::int8_t* __restrict out) {
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8) round_to_int8(in + i, factor, offset, out + i);
  if (i == count) return;
  float rest[8] = {};
  std::int8_t rounded[8];
  for (std::size_t k = 0; i + k < count; ++k) rest[k] = in[i + k];
  round_to_int8(rest, factor, offset, rounded);
  for (std::size_t k = 0; i + k < count; ++k) out[i + k] = rounded[k];
}

// clang-format off
// The table of a level; `attribute` selects its instruction set.
#define PREPIXEL_SPECTRUM_KERNELS(attribute)                                                                           \
  attribute unsigned load_row(const std::int16_t* blocks, std::size_t step, std::size_t n, const float* table,         \
                              float* lines, std::size_t stride, std::int16_t* used) {                                  \
    return load_blocks<false>(blocks, step, n, table, lines, stride, used);                                            \
  }                                                                                                                    \
  attribute unsigned load_column(const std::int16_t* blocks, std::size_t step, std::size_t n, const float* table,      \
                                 float* lines, std::size_t stride, std::int16_t* used) {                               \
    return load_blocks<true>(blocks, step, n, table, lines, stride, used);                                             \
  }                                                                                                                    \
  attribute void accumulate(const float* matrix, int rows, int taps, const float* in, std::size_t in_stride,           \
                            float* out, std::size_t out_stride, std::size_t width) {                                   \
    accumulate_rows(matrix, rows, taps, in, in_stride, out, out_stride, width);                                        \
  }                                                                                                                    \
  attribute void transpose(const float* in, std::size_t in_stride, std::size_t rows, std::size_t columns, float* out,  \
                           std::size_t out_stride) {                                                                   \
    transpose_tiles(in, in_stride, rows, columns, out, out_stride);                                                    \
  }                                                                                                                    \
  attribute void add_samples(const double* weights, std::size_t count, std::size_t first, double* row) {               \
    add_weighted_samples(weights, count, first, row);                                                                  \
  }                                                                                                                    \
  attribute void keep_frequencies(const double* rows, std::size_t num_blocks, std::size_t num_frequencies,             \
                                  const double* signs, float* out) {                                                   \
    keep_lowest(rows, num_blocks, num_frequencies, signs, out);                                                        \
  }                                                                                                                    \
  attribute void write_float(const float* in, std::size_t n, float factor, float offset, float* out) {                 \
    scale_float(in, n, factor, offset, out);                                                                           \
  }                                                                                                                    \
  attribute void write_int8(const float* in, std::size_t n, float factor, float offset, std::int8_t* out) {            \
    scale_int8(in, n, factor, offset, out);                                                                            \
  }                                                                                                                    \
  constexpr Kernels spectrum_table = {load_row,         load_column, accumulate, transpose, add_samples,               \
                                      keep_frequencies, write_float, write_int8};
// clang-format on

}  // namespace

}  // namespace prepixel
