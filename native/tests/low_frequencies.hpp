// A small spectrum for tests and fuzzers: the lowest frequencies of every component on 3 x 2 blocks.
#pragma once

#include "spectrum/resampler.hpp"

namespace prepixel {

inline SpectrumRequest low_frequencies(int side) {
  SpectrumRequest request;
  request.grid_down = 3;
  request.grid_across = 2;
  for (int component = 0; component < 3; ++component)
    for (int k = 0; k < side * side; ++k) request.channels.push_back({component, k / side, k % side});
  request.factors.assign(request.channels.size(), 1.0f);
  request.offsets.assign(request.channels.size(), 0.0f);
  return request;
}

}  // namespace prepixel
