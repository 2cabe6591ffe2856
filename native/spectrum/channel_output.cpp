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

void ScaledOutput::write_zeros(std::size_t channel) {
  const std::vector<float> zeros(static_cast<std::size_t>(request_.grid_across), 0.0f);
  for (int row = 0; row < request_.grid_down; ++row) write({channel, 0, 0, 1.0f}, zeros.data(), row, 0, zeros.size());
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

}  // namespace prepixel
