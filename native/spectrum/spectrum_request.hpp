// The spectrum that a caller requests of every image of a batch.
#pragma once

#include <cstddef>
#include <vector>

#include "simd/spectrum_kernels.hpp"
#include "spectrum/axis_map.hpp"

namespace prepixel {

constexpr int max_grid = 4096;                    // blocks along an axis
constexpr int max_side = 1 << 20;                 // samples along an axis

struct Channel {
  int component;                                  // Y, Cb, Cr
  int v;
  int u;
};

struct SpectrumRequest {
  int grid_down = 0;                              // blocks of the upright result
  int grid_across = 0;
  Filter filter = Filter::bilinear;
  std::vector<Channel> channels;
  std::vector<float> factors;                     // value = coefficient * factor + offset, per channel
  std::vector<float> offsets;
  bool int8 = false;                              // rounded half to even and clipped to +-127; otherwise float32
  Simd simd = best_simd();

  std::size_t num_values() const;                 // of one image
  void check() const;                             // std::invalid_argument: the request is invalid
};

}  // namespace prepixel
