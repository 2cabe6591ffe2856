// One axis of crop, resize, mirror and block DCT as one banded matrix on coefficients.
#pragma once

#include <vector>

#include "simd/spectrum_kernels.hpp"

namespace prepixel {

enum class Filter : unsigned char { bilinear, bicubic };

// Output samples along an axis: where the crop lies on a component's samples, and what becomes of it.
struct AxisCrop {
  int num_samples = 0;                            // true samples; the padding of the last block is never read
  double start = 0;                               // sample j covers [j, j + 1)
  double length = 0;
  bool reverse = false;                           // mirror the output
  bool operator==(const AxisCrop&) const = default;
};

// The input blocks that a crop touches, from the first up to the end; L is zero outside them.
struct BlockSpan {
  int begin;
  int end;
};
BlockSpan touched_blocks(const AxisCrop& crop);

// out = L x, stored without L's zeros: each output block reads a few neighboring input blocks.
//
// Steps run along the input, so that their blocks ascend; step s makes output block `output(s)`.
class AxisMap {
 public:
  struct Step {
    int first_block;                              // counted from `first_block()`
    int num_blocks;
    std::size_t weights;                          // index of its first matrix
  };

  // Build L for `grid` output blocks of their lowest `num_frequencies` frequencies. Double inside, then rounded once.
  AxisMap(const AxisCrop& crop, int grid, int num_frequencies, Filter filter, const Kernels& kernels);

  int grid() const { return static_cast<int>(steps_.size()); }
  int first_block() const { return first_block_; }
  int num_blocks() const { return num_blocks_; }  // input blocks that the crop touches
  int output(int step) const { return reverse_ ? grid() - 1 - step : step; }
  const Step& step(int s) const { return steps_[static_cast<std::size_t>(s)]; }

  // The matrix of a step and the i-th of its input blocks: `num_frequencies` rows of 8.
  const float* matrix(const Step& step, int i) const {
    return weights_.data() + step.weights + static_cast<std::size_t>(i) * static_cast<std::size_t>(frequencies_) * 8;
  }

  // Sum over steps of their blocks: L has 8 * frequencies times as many entries.
  long long num_matrices() const { return num_matrices_; }

 private:
  int frequencies_;
  bool reverse_;
  int first_block_ = 0;
  int num_blocks_ = 0;
  long long num_matrices_ = 0;
  std::vector<Step> steps_;
  std::vector<float> weights_;
};

}  // namespace prepixel
