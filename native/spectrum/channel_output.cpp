#include "spectrum/channel_output.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace prepixel {

namespace {

// The index of a value in [channel][row][column].
std::size_t index_of(const SpectrumRequest& request, std::size_t channel, int row, int column) {
  const auto down = static_cast<std::size_t>(request.grid_down), across = static_cast<std::size_t>(request.grid_across);
  return (channel * down + static_cast<std::size_t>(row)) * across + static_cast<std::size_t>(column);
}

}  // namespace

void ScaledOutput::write(const PlaneChannel& channel, const float* values, int row, int column, std::size_t count) {
  const std::size_t index = index_of(request_, channel.channel, row, column);
  const float factor = request_.factors[channel.channel], offset = request_.offsets[channel.channel];
  if (request_.int8)
    kernels_.write_int8(values, count, factor, offset, static_cast<std::int8_t*>(out_) + index);
  else
    kernels_.write_float(values, count, factor, offset, static_cast<float*>(out_) + index);
}

void write_zeros(const SpectrumRequest& request, std::span<const PlaneChannel> channels, ChannelOutput& output) {
  const std::vector<float> zeros(static_cast<std::size_t>(request.grid_across), 0.0f);
  for (const PlaneChannel& channel : channels)
    for (int row = 0; row < request.grid_down; ++row) output.write(channel, zeros.data(), row, 0, zeros.size());
}

ChannelSums::ChannelSums(const SpectrumRequest& request, WorkBuffer& sums)
    : request_(request), sums_(sums.reserve(request.num_values())) {
  std::fill_n(sums_, request.num_values(), 0.0f);
}

void ChannelSums::write(const PlaneChannel& channel, const float* values, int row, int column, std::size_t count) {
  float* sums = sums_ + index_of(request_, channel.channel, row, column);
  for (std::size_t i = 0; i < count; ++i) sums[i] += channel.weight * values[i];
}

void ChannelSums::write_to(ScaledOutput& output) const {
  const auto across = static_cast<std::size_t>(request_.grid_across);
  for (std::size_t channel = 0; channel < request_.channels.size(); ++channel)
    for (int row = 0; row < request_.grid_down; ++row)
      output.write({channel, 0, 0, 1.0f}, sums_ + index_of(request_, channel, row, 0), row, 0, across);
}

FilledOutput::FilledOutput(ChannelOutput& output, const PlanePlan& plan, double level)
    : output_(output), transposed_(plan.transposed), level_(level) {
  const AxisMap& first = *plan.first.map;
  const AxisMap& second = *plan.second.map;
  const bool first_is_down = plan.rows_first != plan.transposed;
  down_ = {(first_is_down ? first : second).coverage(), (first_is_down ? first : second).num_frequencies()};
  across_ = {(first_is_down ? second : first).coverage(), (first_is_down ? second : first).num_frequencies()};
}

void FilledOutput::write(const PlaneChannel& channel, const float* values, int row, int column, std::size_t count) {
  const int v = transposed_ ? channel.u : channel.v, u = transposed_ ? channel.v : channel.u;
  const double constant = v == 0 && u == 0 ? 8 : 0, down = down_.at(row, v);
  filled_.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    const double missing = constant - down * across_.at(column + static_cast<int>(i), u);
    filled_[i] = static_cast<float>(values[i] + level_ * missing);
  }
  output_.write(channel, filled_.data(), row, column, count);
}

double level_of(const std::array<double, 3>& fill, Color color, std::size_t component) {
  if (color == Color::rgb) return fill[component] - 128;
  double level = 0;
  for (std::size_t i = 0; i < 3; ++i) level += ycbcr_weights[component][i] * (fill[i] - 128);
  return level;
}

}  // namespace prepixel
