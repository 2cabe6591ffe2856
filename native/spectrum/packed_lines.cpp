// Packed planes as lines, frequency by frequency, in the order in which they are stored; frequencies that a plane lacks
// cost nothing. Each output of the resampler is the same sum in the same order as that of decoded blocks, without
// products with zero: the same bits.
#include <algorithm>

#include "simd/pack_kernels.hpp"
#include "simd/vectors.hpp"
#include "spectrum/dequantized_lines.hpp"
#include "spectrum/work_buffer.hpp"

namespace prepixel {

namespace {

// out[c][r] = in[r][c] of 8 rows and `columns` columns, which are rounded up to 8.
void transpose_rows(const std::int16_t* in, std::size_t in_stride, std::size_t columns, std::int16_t* out,
                    std::size_t out_stride) {
  for (std::size_t c = 0; c < columns; c += 8) {
    Half8 rows[8];
    for (std::size_t r = 0; r < 8; ++r) load(rows[r], in + r * in_stride + c);
    transpose_8x8(rows);
    for (std::size_t r = 0; r < std::min<std::size_t>(8, columns - c); ++r) store(out + (c + r) * out_stride, rows[r]);
  }
}

}  // namespace

PackedLines::FrequencyLines& PackedLines::next_frequency() {
  if (frequencies_.size() == count_) frequencies_.emplace_back();
  return frequencies_[count_++];
}

void PackedLines::read(const PlaneView& plane, const PlanePlan& plan) {
  const PackedComponent& component = *plane.packed;
  const AxisMap& down = plan.rows_first ? *plan.first.map : *plan.second.map;
  const AxisMap& across = plan.rows_first ? *plan.second.map : *plan.first.map;
  const auto num_lines = static_cast<std::size_t>(plan.first.map->num_blocks());
  stride_ = round_up_8(static_cast<std::size_t>(plan.second.map->num_blocks()));
  row_.resize(static_cast<std::size_t>(component.header.blocks_across));
  count_ = 0;
  num_frequencies_ = 1;
  for (int k = 0; k < 64; ++k) {
    if (component.planes[static_cast<std::size_t>(k)].coding == Coding::zero) continue;
    FrequencyLines& lines = next_frequency();
    lines.first = plan.rows_first ? k / 8 : k % 8;
    lines.second = plan.rows_first ? k % 8 : k / 8;
    lines.step = static_cast<float>(plane.quantization[static_cast<std::size_t>(k)]);
    lines.values.resize(stride_ * num_lines);
    num_frequencies_ = std::max(num_frequencies_, lines.second + 1);
    PlaneReader reader(component, k);
    if (plan.rows_first) read_rows(reader, down, across, lines.values.data());
    else read_columns(reader, down, across, lines.values.data());
  }
}

void PackedLines::read_rows(PlaneReader& reader, const AxisMap& down, const AxisMap& across, std::int16_t* out) {
  const auto num_columns = static_cast<std::size_t>(across.num_blocks());
  for (int row = 0; row < down.num_blocks(); ++row, out += stride_) {
    reader.read_part(down.first_block() + row, across.first_block(), across.num_blocks(), out, row_.data());
    std::fill(out + num_columns, out + stride_, std::int16_t{0});
  }
}

void PackedLines::read_columns(PlaneReader& reader, const AxisMap& down, const AxisMap& across, std::int16_t* out) {
  const auto num_columns = static_cast<std::size_t>(across.num_blocks());
  const std::size_t row_stride = round_up_8(num_columns);
  eight_rows_.resize(8 * row_stride);
  for (int row = 0; row < down.num_blocks(); row += 8, out += 8) {
    for (int r = 0; r < 8; ++r) {
      std::int16_t* line = eight_rows_.data() + static_cast<std::size_t>(r) * row_stride;
      if (row + r < down.num_blocks())
        reader.read_part(down.first_block() + row + r, across.first_block(), across.num_blocks(), line, row_.data());
      else
        std::fill_n(line, row_stride, std::int16_t{0});
    }
    transpose_rows(eight_rows_.data(), row_stride, num_columns, out, stride_);
  }
}

void PackedLines::clear(float* lines) const { std::fill_n(lines, 8 * width(), 0.0f); }

unsigned PackedLines::load(int block, float* lines, std::int16_t* used) const {
  const auto dequantize = pack_kernels().dequantize;
  const std::size_t line_width = width();
  unsigned nonzero = 0;
  for (std::size_t i = 0; i < count_; ++i) {
    const FrequencyLines& frequency = frequencies_[i];
    const std::size_t offset = static_cast<std::size_t>(frequency.second) * stride_;
    const bool any = dequantize(frequency.values.data() + static_cast<std::size_t>(block) * stride_, stride_,
                                frequency.step, lines + static_cast<std::size_t>(frequency.first) * line_width + offset,
                                used + offset);
    nonzero |= static_cast<unsigned>(any) << frequency.first;
  }
  return nonzero;
}

}  // namespace prepixel
