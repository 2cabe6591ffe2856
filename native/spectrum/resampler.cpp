#include "spectrum/resampler.hpp"

#include <algorithm>
#include <bit>
#include <new>
#include <stdexcept>
#include <utility>

#include "spectrum/stored_crop.hpp"

namespace prepixel {

namespace {

// Floats of one intermediate: two of them stay in a core's second-level cache.
constexpr std::size_t strip_floats = 1 << 16;

// The share of a stored component in Y, Cb, Cr. Source: JFIF 1.02, p. 3; ITU-R BT.601 luma weights.
float weight_of(Color color, int channel, std::size_t component) {
  if (color != Color::rgb) return static_cast<std::size_t>(channel) == component ? 1.0f : 0.0f;
  constexpr double red = 0.299, green = 0.587, blue = 0.114;
  constexpr double matrix[3][3] = {{red, green, blue},
                                   {-red / (2 * (1 - blue)), -green / (2 * (1 - blue)), 0.5},
                                   {0.5, -green / (2 * (1 - red)), -blue / (2 * (1 - red))}};
  return static_cast<float>(matrix[channel][component]);
}

// Multiply-adds of applying one map to lines of `width`, then another to the result.
double cost(const AxisMap& first, int first_frequencies, const AxisMap& second, int second_frequencies) {
  const double once = 8.0 * static_cast<double>(first.num_matrices()) * first_frequencies * 8.0 * second.num_blocks();
  const double twice = 8.0 * static_cast<double>(second.num_matrices()) * second_frequencies *
                       static_cast<double>(first_frequencies) * first.grid();
  return once + twice;
}

constexpr std::size_t round_up_8(std::size_t count) { return (count + 7) / 8 * 8; }

}  // namespace

bool is_linear(Color color) {
  return color == Color::gray || color == Color::ycbcr || color == Color::rgb;
}

ImageView view_of(const Image& image) {
  ImageView view{image.height, image.width, image.orientation, image.color, {}};
  view.planes.reserve(image.components.size());
  for (const Component& component : image.components)
    view.planes.push_back({component.blocks.empty() ? nullptr : component.blocks.data()->data(), component.blocks_down,
                           component.blocks_across, component.height, component.width, component.sampling_v,
                           component.sampling_h, component.quantization});
  return view;
}

std::size_t SpectrumRequest::num_values() const {
  return channels.size() * static_cast<std::size_t>(grid_down) * static_cast<std::size_t>(grid_across);
}

void SpectrumRequest::check() const {
  if (std::min(grid_down, grid_across) < 1 || std::max(grid_down, grid_across) > max_grid)
    throw std::invalid_argument("a grid has 1 x 1 to " + std::to_string(max_grid) + " x " + std::to_string(max_grid) +
                                " blocks, not " + std::to_string(grid_down) + " x " + std::to_string(grid_across));
  if (channels.empty() || factors.size() != channels.size() || offsets.size() != channels.size())
    throw std::invalid_argument("one factor and one offset are needed for each of at least one channel");
  for (const Channel& channel : channels)
    if (channel.component < 0 || channel.component > 2 || channel.v < 0 || channel.v > 7 || channel.u < 0 || channel.u > 7)
      throw std::invalid_argument("a channel is outside 0..191");
  if (!has_simd(simd)) throw std::invalid_argument("this machine lacks the instruction set asked for");
}

void DctResampler::Buffer::Free::operator()(float* floats) const {
  ::operator delete[](floats, std::align_val_t{64});
}

float* DctResampler::Buffer::reserve(std::size_t count) {
  if (count > capacity_) {
    floats_.reset();
    capacity_ = 0;
    floats_.reset(static_cast<float*>(::operator new[](count * sizeof(float), std::align_val_t{64})));
    std::fill_n(floats_.get(), count, 0.0f);
    capacity_ = count;
  }
  return floats_.get();
}

DctResampler::DctResampler(const SpectrumRequest& request) : request_(request), kernels_(kernels(request.simd)) {
  request.check();
}

void DctResampler::make(const ImageView& image, const Box* box, bool flip, void* out) {
  check_image(image);
  const StoredView view = stored_view(image, box, flip, request_.grid_down, request_.grid_across);

  out_ = out;
  maps_.clear();
  sum_channels_ = image.color == Color::rgb;
  if (sum_channels_) std::fill_n(sums_.reserve(request_.num_values()), request_.num_values(), 0.0f);
  std::vector<bool> made(request_.channels.size(), false);
  std::vector<Wanted> wanted;
  for (std::size_t p = 0; p < image.planes.size(); ++p) {
    wanted.clear();
    for (std::size_t f = 0; f < request_.channels.size(); ++f) {
      const Channel& channel = request_.channels[f];
      const float weight = weight_of(image.color, channel.component, p);
      if (weight == 0.0f) continue;
      const bool exchange = view.transposed;
      wanted.push_back({f, exchange ? channel.u : channel.v, exchange ? channel.v : channel.u, weight});
      made[f] = true;
    }
    if (!wanted.empty()) make_plane(image.planes[p], view, wanted);
  }
  for (std::size_t f = 0; f < made.size(); ++f)
    if (!made[f]) write_zeros(f);
  if (sum_channels_) write_sums();
}

const AxisMap& DctResampler::axis_map(const AxisCrop& crop, int grid, int frequencies) {
  for (const KnownMap& known : maps_)
    if (known.crop == crop && known.grid == grid && known.frequencies >= frequencies) return *known.map;
  maps_.push_back({crop, grid, frequencies, std::make_unique<AxisMap>(crop, grid, frequencies, request_.filter, kernels_)});
  return *maps_.back().map;
}

void DctResampler::make_plane(const PlaneView& plane, const StoredView& view, std::span<const Wanted> wanted) {
  int rows = 0, columns = 0;
  for (const Wanted& channel : wanted) {
    rows = std::max(rows, channel.v + 1);
    columns = std::max(columns, channel.u + 1);
  }
  const auto [down, across] = axis_crops(plane, view);
  const AxisMap& row_map = axis_map(down, view.grid_down, rows);
  const AxisMap& column_map = axis_map(across, view.grid_across, columns);
  const bool rows_first = cost(row_map, rows, column_map, columns) <= cost(column_map, columns, row_map, rows);
  first_ = rows_first ? &row_map : &column_map;
  second_ = rows_first ? &column_map : &row_map;
  first_frequencies_ = rows_first ? rows : columns;
  second_frequencies_ = rows_first ? columns : rows;
  for (std::size_t i = 0; i < 64; ++i) {
    const std::size_t k = rows_first ? i : 8 * (i % 8) + i / 8;
    table_[i] = static_cast<float>(plane.quantization[k]);
  }

  const std::size_t grid = static_cast<std::size_t>(first_->grid());
  if (plane.packed != nullptr) load_packed(*plane.packed, rows_first);
  const std::size_t width = plane.packed != nullptr
                                ? static_cast<std::size_t>(packed_seconds_) * round_up_8(static_cast<std::size_t>(second_->num_blocks()))
                                : 8 * static_cast<std::size_t>(second_->num_blocks());
  const std::size_t per_block = static_cast<std::size_t>(first_frequencies_) * width;
  const std::size_t num_strips = std::min((grid * per_block + strip_floats - 1) / strip_floats, (grid + 7) / 8);
  strip_ = round_up_8((grid + num_strips - 1) / num_strips);
  for (std::size_t begin = 0; begin < grid; begin += strip_) {
    const Strip strip{static_cast<int>(begin), static_cast<int>(std::min(grid, begin + strip_)), width};
    if (plane.packed != nullptr) run_packed_strip(plane, rows_first, strip);
    else run_strip(plane, rows_first, strip);
    write_strip(wanted, rows_first, view.transposed, strip);
  }
}

// First axis: each line of blocks is dequantized once and added to all output blocks that it reaches.
void DctResampler::run_strip(const PlaneView& plane, bool rows_first, const Strip& strip) {
  begin_strip(strip);
  const std::size_t across = static_cast<std::size_t>(plane.blocks_across);
  const std::size_t line_step = 64 * (rows_first ? across : 1);
  const std::size_t block_step = 64 * (rows_first ? 1 : across);
  const std::int16_t* origin = plane.blocks + static_cast<std::size_t>(first_->first_block()) * line_step +
                               static_cast<std::size_t>(second_->first_block()) * block_step;
  const auto load = rows_first ? kernels_.load_row : kernels_.load_column;
  float* lines = lines_.reserve(8 * strip.width);
  const auto [begin, end] = blocks_under(strip);
  for (int block = begin; block < end; ++block)
    add_line(strip, block,
             load(origin + static_cast<std::size_t>(block) * line_step, block_step,
                  static_cast<std::size_t>(second_->num_blocks()), table_.data(), lines, strip.width, used_.data()));
  apply_second(strip, {.block_step = 8, .tap_step = 1, .most_taps = 8});
}

void DctResampler::begin_strip(const Strip& strip) {
  const std::size_t count = lines_along_first() * strip.width;
  std::fill_n(row_pass_.reserve(count), count, 0.0f);
  used_.assign(strip.width, 0);
}

// The first axis' blocks that a strip's steps reach.
BlockSpan DctResampler::blocks_under(const Strip& strip) const {
  BlockSpan blocks{first_->num_blocks(), 0};
  for (int s = strip.begin; s < strip.end; ++s) {
    const AxisMap::Step& step = first_->step(s);
    blocks.begin = std::min(blocks.begin, step.first_block);
    blocks.end = std::max(blocks.end, step.first_block + step.num_blocks);
  }
  return blocks;
}

// Add the dequantized line of the first axis' block `block`, of whose frequencies `occupied` are not all zero.
void DctResampler::add_line(const Strip& strip, int block, unsigned occupied) {
  if (occupied == 0) return;
  const float* lines = lines_.reserve(0);
  float* row_pass = row_pass_.reserve(0);
  const int output_begin = output_under(strip);
  for (int s = strip.begin; s < strip.end; ++s) {
    const AxisMap::Step& step = first_->step(s);
    if (block < step.first_block || block >= step.first_block + step.num_blocks) continue;
    const std::size_t position = static_cast<std::size_t>(first_->output(s) - output_begin);
    kernels_.accumulate(first_->matrix(step, block - step.first_block), first_frequencies_,
                        static_cast<int>(std::bit_width(occupied)), lines, strip.width, row_pass + position * strip.width,
                        strip_ * strip.width, strip.width);
  }
}

// Second axis: the same, on lines that run along the first.
void DctResampler::apply_second(const Strip& strip, const LineOrder& order) {
  const std::size_t num_lines = lines_along_first();
  float* turned = transposed_.reserve(strip.width * num_lines);
  kernels_.transpose(row_pass_.reserve(0), strip.width, num_lines, strip.width, turned, num_lines);
  const std::size_t per_output = static_cast<std::size_t>(second_frequencies_) * num_lines;
  float* finished = column_pass_.reserve(round_up_8(static_cast<std::size_t>(second_->grid())) * per_output);
  std::fill_n(finished, static_cast<std::size_t>(second_->grid()) * per_output, 0.0f);
  for (int s = 0; s < second_->grid(); ++s) {
    const AxisMap::Step& step = second_->step(s);
    float* out = finished + static_cast<std::size_t>(second_->output(s)) * per_output;
    for (int i = 0; i < step.num_blocks; ++i) {
      const std::size_t line = order.block_step * static_cast<std::size_t>(step.first_block + i);
      int taps = order.most_taps;
      while (taps > 0 && used_[line + static_cast<std::size_t>(taps - 1) * order.tap_step] == 0) --taps;
      if (taps > 0)
        kernels_.accumulate(second_->matrix(step, i), second_frequencies_, taps, turned + line * num_lines,
                            order.tap_step * num_lines, out, num_lines, num_lines);
    }
  }
}

std::size_t DctResampler::lines_along_first() const { return static_cast<std::size_t>(first_frequencies_) * strip_; }

int DctResampler::output_under(const Strip& strip) const {
  return std::min(first_->output(strip.begin), first_->output(strip.end - 1));
}

void DctResampler::write_strip(std::span<const Wanted> wanted, bool rows_first, bool transposed, const Strip& strip) {
  const std::size_t num_lines = lines_along_first();
  const std::size_t per_output = static_cast<std::size_t>(second_frequencies_) * num_lines;
  const std::size_t count = static_cast<std::size_t>(strip.end - strip.begin);
  const int output_begin = output_under(strip);
  const int grid = second_->grid();
  const bool first_is_down = rows_first != transposed;
  const float* finished = column_pass_.reserve(0);
  for (const Wanted& channel : wanted) {
    const int a = rows_first ? channel.v : channel.u;
    const int b = rows_first ? channel.u : channel.v;
    const float* source = finished + static_cast<std::size_t>(b) * num_lines + static_cast<std::size_t>(a) * strip_;
    if (first_is_down) {
      const std::size_t stride = round_up_8(static_cast<std::size_t>(grid));
      float* tile = tile_.reserve(strip_ * stride);
      kernels_.transpose(source, per_output, stride, strip_, tile, stride);
      for (std::size_t o = 0; o < count; ++o)
        write(channel, tile + o * stride, output_begin + static_cast<int>(o), 0, static_cast<std::size_t>(grid));
    } else {
      for (int row = 0; row < grid; ++row)
        write(channel, source + static_cast<std::size_t>(row) * per_output, row, output_begin, count);
    }
  }
}

void DctResampler::write(const Wanted& wanted, const float* values, int row, int column, std::size_t count) {
  const std::size_t across = static_cast<std::size_t>(request_.grid_across);
  const std::size_t plane = static_cast<std::size_t>(request_.grid_down) * across;
  const std::size_t position =
      wanted.channel * plane + static_cast<std::size_t>(row) * across + static_cast<std::size_t>(column);
  if (sum_channels_) {
    float* sums = sums_.reserve(0) + position;
    for (std::size_t i = 0; i < count; ++i) sums[i] += wanted.weight * values[i];
    return;
  }
  const float factor = request_.factors[wanted.channel], offset = request_.offsets[wanted.channel];
  if (request_.int8)
    kernels_.write_int8(values, count, factor, offset, static_cast<std::int8_t*>(out_) + position);
  else
    kernels_.write_float(values, count, factor, offset, static_cast<float*>(out_) + position);
}

void DctResampler::write_zeros(std::size_t channel) {
  const std::vector<float> zeros(static_cast<std::size_t>(request_.grid_across), 0.0f);
  const bool sums = std::exchange(sum_channels_, false);
  for (int row = 0; row < request_.grid_down; ++row) write({channel, 0, 0, 0.0f}, zeros.data(), row, 0, zeros.size());
  sum_channels_ = sums;
}

void DctResampler::write_sums() {
  sum_channels_ = false;
  const std::size_t across = static_cast<std::size_t>(request_.grid_across);
  const float* sums = sums_.reserve(0);
  for (std::size_t f = 0; f < request_.channels.size(); ++f)
    for (int row = 0; row < request_.grid_down; ++row, sums += across) write({f, 0, 0, 1.0f}, sums, row, 0, across);
}

}  // namespace prepixel
