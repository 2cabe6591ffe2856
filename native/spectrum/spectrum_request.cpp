#include "spectrum/spectrum_request.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace prepixel {

std::size_t SpectrumRequest::num_values() const {
  return channels.size() * static_cast<std::size_t>(grid_down) * static_cast<std::size_t>(grid_across);
}

void SpectrumRequest::check() const {
  if (std::min(grid_down, grid_across) < 1 || std::max(grid_down, grid_across) > max_grid)
    throw std::invalid_argument("a grid has 1 x 1 to " + std::to_string(max_grid) + " x " + std::to_string(max_grid) +
                                " blocks, not " + std::to_string(grid_down) + " x " + std::to_string(grid_across));
  if (channels.empty() || factors.size() != channels.size() || offsets.size() != channels.size())
    throw std::invalid_argument("one factor and one offset are needed for each of at least one channel");
  const auto in_range = [](int value, int end) { return value >= 0 && value < end; };
  for (const Channel& channel : channels)
    if (!in_range(channel.component, 3) || !in_range(channel.v, 8) || !in_range(channel.u, 8))
      throw std::invalid_argument("a channel is outside 0..191");
  if (!has_simd(simd)) throw std::invalid_argument("this machine lacks the instruction set asked for");
}

}  // namespace prepixel
