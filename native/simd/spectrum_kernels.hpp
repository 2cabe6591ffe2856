// The inner loops of the spectrum pipeline, compiled once per level of cpu.hpp.
//
// All levels give the same bits: each output is the same sum in the same order, and products are not fused with
// additions (the core is compiled with -ffp-contract=off).
#pragma once

#include <cstddef>
#include <cstdint>

#include "simd/cpu.hpp"

namespace prepixel {

struct Kernels {
  // Dequantize a row of blocks to its 8 lines of frequencies, lines[v][8 * block + u] = quantized * table, the v-th at
  // `lines + v * stride`. Return a mask of the lines that are not all zero; nonzero values of each column are or-ed to
  // `used`.
  unsigned (*load_row)(const std::int16_t* blocks, std::size_t block_step, std::size_t num_blocks, const float* table,
                       float* lines, std::size_t stride, std::int16_t* used);
  // The same for a column of blocks, with v and u exchanged: lines[u][8 * block + v].
  unsigned (*load_column)(const std::int16_t* blocks, std::size_t block_step, std::size_t num_blocks,
                          const float* table, float* lines, std::size_t stride, std::int16_t* used);
  // out[r][x] += sum over k < taps of matrix[r][k] * in[k][x]; matrix is rows x 8, rows 1..8, taps 1..8; width a
  // multiple of 8.
  void (*accumulate)(const float* matrix, int rows, int taps, const float* in, std::size_t in_stride, float* out,
                     std::size_t out_stride, std::size_t width);
  // out[c][r] = in[r][c]; both sides multiples of 8.
  void (*transpose)(const float* in, std::size_t in_stride, std::size_t rows, std::size_t columns, float* out,
                    std::size_t out_stride);
  // rows[i][8 * block + u] += weight[j] * basis[(first + j) % 8][u], with first + j = 8 * block + ..: samples' weights
  // in coefficients. first >= 0.
  void (*add_samples)(const double* weights, std::size_t count, std::size_t first, double* row);
  // For each of `num_blocks` 8 x 8 parts of 8 rows, their `num_frequencies` lowest vertical frequencies, rounded to
  // float: out[k][u] = signs[k] * sum over i of basis[i][k] * rows[i][8 * block + u], block after block.
  void (*keep_frequencies)(const double* rows, std::size_t num_blocks, std::size_t num_frequencies, const double* signs,
                           float* out);
  // out = in * factor + offset
  void (*write_float)(const float* in, std::size_t count, float factor, float offset, float* out);
  // The same, rounded half to even and clipped to +-127.
  void (*write_int8)(const float* in, std::size_t count, float factor, float offset, std::int8_t* out);
};

const Kernels& kernels(Simd level);               // this machine must have the level

const Kernels& portable_kernels();
const Kernels& avx2_kernels();                    // x86-64 only
const Kernels& avx512_kernels();
const Kernels& neon_kernels();                    // 64-bit ARM only

}  // namespace prepixel
