// Packed planes through the spectrum pipeline: frequency by frequency, as they lie, so that what was left out costs nothing.
//
// Lines of the second axis hold one frequency's blocks side by side, where the pipeline on blocks has one block's frequencies
// side by side. Each output is the same sum in the same order, less products with zero: the same bits.
#include <algorithm>
#include <cstring>

#include "packed/packed_image.hpp"
#include "simd/pack_kernels.hpp"
#include "spectrum/resampler.hpp"

namespace prepixel {

namespace {

constexpr std::size_t round_up_8(std::size_t count) { return (count + 7) / 8 * 8; }

using Half8 = std::int16_t __attribute__((vector_size(16)));

// out[c][r] = in[r][c] of 8 rows, `columns` of them rounded up to 8.
void transpose_rows(const std::int16_t* in, std::size_t in_stride, std::size_t columns, std::int16_t* out,
                    std::size_t out_stride) {
  for (std::size_t c = 0; c < columns; c += 8) {
    Half8 rows[8];
    for (std::size_t r = 0; r < 8; ++r) std::memcpy(&rows[r], in + r * in_stride + c, sizeof(Half8));
    for (int round = 0; round < 3; ++round) {
      Half8 turned[8];
      for (int i = 0; i < 4; ++i) {
        turned[2 * i] = __builtin_shufflevector(rows[i], rows[i + 4], 0, 8, 1, 9, 2, 10, 3, 11);
        turned[2 * i + 1] = __builtin_shufflevector(rows[i], rows[i + 4], 4, 12, 5, 13, 6, 14, 7, 15);
      }
      std::copy_n(turned, 8, rows);
    }
    for (std::size_t r = 0; r < std::min<std::size_t>(8, columns - c); ++r)
      std::memcpy(out + (c + r) * out_stride, &rows[r], sizeof(Half8));
  }
}

}  // namespace

ImageView view_of(const PackedImage& packed) {
  const Header& frame = packed.header;
  ImageView view{frame.height, frame.width, frame.orientation, frame.color, {}};
  for (const PackedComponent& component : packed.components) {
    const ComponentHeader& header = component.header;
    view.planes.push_back({nullptr, header.blocks_down, header.blocks_across, header.height, header.width,
                           header.sampling_v, header.sampling_h, header.quantization, &component});
  }
  return view;
}

void DctResampler::load_packed(const PackedComponent& component, bool rows_first) {
  const AxisMap& down = rows_first ? *first_ : *second_;
  const AxisMap& across = rows_first ? *second_ : *first_;
  const std::size_t num_rows = static_cast<std::size_t>(down.num_blocks());
  const std::size_t num_columns = static_cast<std::size_t>(across.num_blocks());
  const std::size_t stride = round_up_8(rows_first ? num_columns : num_rows);
  const std::size_t row_stride = round_up_8(num_columns);
  std::vector<std::int16_t> spare(static_cast<std::size_t>(component.header.blocks_across)), rows(8 * row_stride);
  num_packed_ = 0;
  packed_seconds_ = 1;
  for (int k = 0; k < 64; ++k) {
    if (component.planes[static_cast<std::size_t>(k)].coding == Coding::zero) continue;
    if (packed_.size() == num_packed_) packed_.emplace_back();
    PackedLines& lines = packed_[num_packed_++];
    lines.first = rows_first ? k / 8 : k % 8;
    lines.second = rows_first ? k % 8 : k / 8;
    packed_seconds_ = std::max(packed_seconds_, lines.second + 1);
    lines.values.resize(stride * (rows_first ? num_rows : num_columns));
    PlaneReader reader(component, k);
    std::int16_t* out = lines.values.data();
    if (rows_first) {
      for (std::size_t row = 0; row < num_rows; ++row, out += stride) {
        reader.read_part(down.first_block() + static_cast<int>(row), across.first_block(), across.num_blocks(), out,
                         spare.data());
        std::fill(out + num_columns, out + stride, std::int16_t{0});
      }
      continue;
    }
    for (std::size_t row = 0; row < num_rows; row += 8) {
      for (std::size_t r = 0; r < 8; ++r) {
        std::int16_t* line = rows.data() + r * row_stride;
        if (row + r < num_rows)
          reader.read_part(down.first_block() + static_cast<int>(row + r), across.first_block(), across.num_blocks(), line,
                           spare.data());
        else
          std::fill_n(line, row_stride, std::int16_t{0});
      }
      transpose_rows(rows.data(), row_stride, num_columns, out + row, stride);
    }
  }
}

void DctResampler::run_packed_strip(const PlaneView& plane, bool rows_first, const Strip& strip) {
  begin_strip(strip);
  const std::size_t stride = strip.width / static_cast<std::size_t>(packed_seconds_);
  float* lines = lines_.reserve(8 * strip.width);
  std::fill_n(lines, 8 * strip.width, 0.0f);
  const auto dequantize = pack_kernels().dequantize;
  const auto [begin, end] = blocks_under(strip);
  for (int block = begin; block < end; ++block) {
    unsigned occupied = 0;
    for (std::size_t p = 0; p < num_packed_; ++p) {
      const PackedLines& packed = packed_[p];
      const std::size_t second = static_cast<std::size_t>(packed.second) * stride;
      const std::size_t k = static_cast<std::size_t>(rows_first ? 8 * packed.first + packed.second : 8 * packed.second + packed.first);
      const bool any = dequantize(packed.values.data() + static_cast<std::size_t>(block) * stride, stride,
                                  static_cast<float>(plane.quantization[k]),
                                  lines + static_cast<std::size_t>(packed.first) * strip.width + second, used_.data() + second);
      occupied |= static_cast<unsigned>(any) << packed.first;
    }
    add_line(strip, block, occupied);
  }
  apply_second(strip, {.block_step = 1, .tap_step = stride, .most_taps = packed_seconds_});
}

}  // namespace prepixel
