#include "spectrum/dequantized_lines.hpp"

namespace prepixel {

BlockLines::BlockLines(const PlaneView& plane, const PlanePlan& plan, const Kernels& kernels)
    : load_(plan.rows_first ? kernels.load_row : kernels.load_column),
      num_blocks_(static_cast<std::size_t>(plan.second.map->num_blocks())) {
  const auto across = static_cast<std::size_t>(plane.blocks_across);
  line_step_ = 64 * (plan.rows_first ? across : 1);
  block_step_ = 64 * (plan.rows_first ? 1 : across);
  origin_ = plane.blocks + static_cast<std::size_t>(plan.first.map->first_block()) * line_step_ +
            static_cast<std::size_t>(plan.second.map->first_block()) * block_step_;
  for (std::size_t i = 0; i < 64; ++i)
    steps_[i] = static_cast<float>(plane.quantization[plan.rows_first ? i : 8 * (i % 8) + i / 8]);
}

BlockLines::BlockLines(const Component& component, const PlanePlan& plan, const Kernels& kernels)
    : load_(kernels.load_row),
      origin_(component.blocks.data()->data()),
      line_step_(64 * static_cast<std::size_t>(component.held.column_end - component.held.column_begin)),
      block_step_(64),
      num_blocks_(static_cast<std::size_t>(plan.second.map->num_blocks())),
      ring_rows_(component.ring_rows),
      first_line_(plan.first.map->first_block()) {
  for (std::size_t i = 0; i < 64; ++i) steps_[i] = static_cast<float>(component.quantization[i]);
}

}  // namespace prepixel
