// The input of the first pass: dequantized coefficients in lines along the second axis, one line per frequency of the
// first.
//
// BlockLines reads decoded blocks, PackedLines packed planes. Both load the lines of one block of the first axis at a
// time and differ in the order of the values in a line.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "packed/packed_image.hpp"
#include "spectrum/plane_plan.hpp"

namespace prepixel {

// A line holds frequency f of block b at index b * block_step + f * frequency_step, f below num_frequencies.
struct LineOrder {
  std::size_t block_step;
  std::size_t frequency_step;
  int num_frequencies;
};

class BlockLines {
 public:
  BlockLines(const PlaneView& plane, const PlanePlan& plan, const Kernels& kernels);

  // Of a component of which a RowConsumer keeps some rows at a time, and of them the columns of the plan; rows first.
  BlockLines(const Component& component, const PlanePlan& plan, const Kernels& kernels);

  std::size_t width() const { return 8 * num_blocks_; }
  LineOrder order() const { return {.block_step = 8, .frequency_step = 1, .num_frequencies = 8}; }

  // Prepare 8 lines of width() floats for load().
  void clear(float* /*lines*/) const {}

  // Write the lines of block `block` of the first axis, the v-th at `lines + v * width()`. Return a mask of the lines
  // that are not all zero; nonzero values are or-ed to `used`, width() elements.
  unsigned load(int block, float* lines, std::int16_t* used) const {
    const int line = ring_rows_ == 0 ? block : (first_line_ + block) % ring_rows_;
    return load_(origin_ + static_cast<std::size_t>(line) * line_step_, block_step_, num_blocks_, steps_.data(), lines,
                 width(), used);
  }

 private:
  decltype(Kernels::load_row) load_;
  const std::int16_t* origin_;
  std::size_t line_step_;
  std::size_t block_step_;
  std::size_t num_blocks_;
  int ring_rows_ = 0;
  int first_line_ = 0;
  std::array<float, 64> steps_;                   // the quantization table, transposed where columns are first
};

class PackedLines {
 public:
  // Read the part of a packed plane that the maps need.
  void read(const PlaneView& plane, const PlanePlan& plan);

  std::size_t width() const { return static_cast<std::size_t>(num_frequencies_) * stride_; }
  LineOrder order() const {
    return {.block_step = 1, .frequency_step = stride_, .num_frequencies = num_frequencies_};
  }

  // As BlockLines. load() writes only the frequencies that the plane holds.
  void clear(float* lines) const;
  unsigned load(int block, float* lines, std::int16_t* used) const;

 private:
  // What the crop holds of one frequency: a line along the second axis for each block of the first.
  struct FrequencyLines {
    int first;                                    // frequency along the first axis
    int second;
    float step;                                   // quantization
    std::vector<std::int16_t> values;
  };
  FrequencyLines& next_frequency();
  void read_rows(PlaneReader& reader, const AxisMap& down, const AxisMap& across, std::int16_t* out);
  void read_columns(PlaneReader& reader, const AxisMap& down, const AxisMap& across, std::int16_t* out);

  std::vector<FrequencyLines> frequencies_;       // the first `count_` are in use
  std::size_t count_ = 0;
  int num_frequencies_ = 1;                       // 1 + the highest along the second axis
  std::size_t stride_ = 0;                        // blocks along the second axis, rounded up to 8
  std::vector<std::int16_t> row_;
  std::vector<std::int16_t> eight_rows_;
};

}  // namespace prepixel
