#include "spectrum/separable_pass.hpp"

#include <bit>

namespace prepixel {

namespace {

// Values per index of a line after the first pass: all frequencies and output blocks of the first axis in the strip.
std::size_t transposed_width(const PlanePlan& plan, const Strip& strip) {
  return static_cast<std::size_t>(plan.first.frequencies) * strip.capacity;
}

}  // namespace

void SeparablePass::clear(const PlanePlan& plan, std::size_t line_width, const Strip& strip) {
  line_width_ = line_width;
  const std::size_t count = transposed_width(plan, strip) * line_width;
  std::fill_n(first_pass_.reserve(count), count, 0.0f);
  used_.assign(line_width, 0);
}

// Add the dequantized lines of one input block of the first axis to all output blocks that it reaches.
void SeparablePass::add_lines(const PlanePlan& plan, const Strip& strip, int block, unsigned nonzero) {
  if (nonzero == 0) return;
  const AxisMap& map = *plan.first.map;
  const int output_begin = plan.first_output(strip);
  const int taps = static_cast<int>(std::bit_width(nonzero));
  for (int s = strip.begin; s < strip.end; ++s) {
    const AxisMap::Step& step = map.step(s);
    if (block < step.first_block || block >= step.first_block + step.num_blocks) continue;
    const auto position = static_cast<std::size_t>(map.output(s) - output_begin);
    kernels_.accumulate(map.matrix(step, block - step.first_block), plan.first.frequencies, taps, lines_.data(),
                        line_width_, first_pass_.data() + position * line_width_, strip.capacity * line_width_,
                        line_width_);
  }
}

void SeparablePass::apply_second(const PlanePlan& plan, const LineOrder& order, const Strip& strip) {
  const AxisMap& map = *plan.second.map;
  const std::size_t width = transposed_width(plan, strip);
  float* transposed = transposed_.reserve(line_width_ * width);
  kernels_.transpose(first_pass_.data(), line_width_, width, line_width_, transposed, width);
  const auto grid = static_cast<std::size_t>(map.grid());
  const std::size_t output_step = static_cast<std::size_t>(plan.second.frequencies) * width;
  float* second_pass = second_pass_.reserve(round_up_8(grid) * output_step);
  std::fill_n(second_pass, grid * output_step, 0.0f);
  for (int s = 0; s < map.grid(); ++s) {
    const AxisMap::Step& step = map.step(s);
    float* out = second_pass + static_cast<std::size_t>(map.output(s)) * output_step;
    for (int i = 0; i < step.num_blocks; ++i) {
      const std::size_t line = order.block_step * static_cast<std::size_t>(step.first_block + i);
      int taps = order.num_frequencies;
      while (taps > 0 && used_[line + static_cast<std::size_t>(taps - 1) * order.frequency_step] == 0) --taps;
      if (taps > 0)
        kernels_.accumulate(map.matrix(step, i), plan.second.frequencies, taps, transposed + line * width,
                            order.frequency_step * width, out, width, width);
    }
  }
}

StripCoefficients SeparablePass::coefficients(const PlanePlan& plan, const Strip& strip) const {
  const std::size_t width = transposed_width(plan, strip);
  return {.values = second_pass_.data(),
          .output_step = static_cast<std::size_t>(plan.second.frequencies) * width,
          .second_step = width,
          .first_step = strip.capacity};
}

}  // namespace prepixel
