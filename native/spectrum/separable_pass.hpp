// Applies the maps of both axes of a plane, one after the other, to one strip of output blocks.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "spectrum/dequantized_lines.hpp"
#include "spectrum/plane_plan.hpp"
#include "spectrum/work_buffer.hpp"

namespace prepixel {

// The coefficients of a strip. Frequency a of the first and b of the second axis, for output block i of the strip (from
// its lowest) and output block o of the second axis, is values[o * output_step + (b * first_frequencies + a) * capacity
// + i].
struct StripCoefficients {
  const float* values;
  std::size_t output_step;
  std::size_t second_step;                        // first_frequencies * capacity
  std::size_t first_step;                         // capacity
};

class SeparablePass {
 public:
  explicit SeparablePass(const Kernels& kernels) : kernels_(kernels) {}

  // Resample one strip of a plane. `Lines` is BlockLines or PackedLines. The result is valid until the next call.
  template <class Lines>
  StripCoefficients run(const PlanePlan& plan, const Lines& source, const Strip& strip) {
    begin(plan, source, strip);
    const auto [first_block, end_block] = plan.input_blocks(strip);
    for (int block = first_block; block < end_block; ++block) add(plan, source, strip, block);
    return finish(plan, source.order(), strip);
  }

  // The same in parts: one strip at a time, its input blocks in order.
  template <class Lines>
  void begin(const PlanePlan& plan, const Lines& source, const Strip& strip) {
    clear(plan, source.width(), strip);
    source.clear(lines_.reserve(8 * source.width()));
  }
  template <class Lines>
  void add(const PlanePlan& plan, const Lines& source, const Strip& strip, int block) {
    add_lines(plan, strip, block, source.load(block, lines_.data(), used_.data()));
  }
  StripCoefficients finish(const PlanePlan& plan, const LineOrder& order, const Strip& strip) {
    apply_second(plan, order, strip);
    return coefficients(plan, strip);
  }

 private:
  void clear(const PlanePlan& plan, std::size_t line_width, const Strip& strip);
  void add_lines(const PlanePlan& plan, const Strip& strip, int block, unsigned nonzero);
  void apply_second(const PlanePlan& plan, const LineOrder& order, const Strip& strip);
  StripCoefficients coefficients(const PlanePlan& plan, const Strip& strip) const;

  const Kernels& kernels_;
  std::size_t line_width_ = 0;
  std::vector<std::int16_t> used_;                // by index in a line: nonzero if any line of the strip is
  WorkBuffer lines_;
  WorkBuffer first_pass_;                         // [frequency of the first axis][output block][line_width_]
  WorkBuffer transposed_;                         // [line_width_][frequency of the first axis][output block]
  WorkBuffer second_pass_;                        // [output block of the second axis][its frequency] of such lines
};

}  // namespace prepixel
