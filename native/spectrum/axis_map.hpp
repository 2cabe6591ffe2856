// One axis of crop, resize, mirror and block DCT as one banded matrix on coefficients.
#pragma once

#include <vector>

#include "simd/spectrum_kernels.hpp"
#include "spectrum/upright_crop.hpp"

namespace prepixel {

enum class Filter : unsigned char { bilinear, bicubic };

// The crop along one axis, in samples of the component.
struct AxisCrop {
  int num_samples = 0;                            // true samples; the padding of the last block is not read
  double start = 0;                               // sample j covers [j, j + 1)
  double length = 0;
  bool reverse = false;                           // mirror the output
  Padding padding = Padding::none;
  int shown_begin = 0;                            // the samples that are not padding; without it, all
  int shown_end = 0;
  bool operator==(const AxisCrop&) const = default;
};

// The range of input blocks that a crop touches, empty if it lies in constant padding; L is zero outside it.
struct BlockSpan {
  int begin;
  int end;
};
BlockSpan touched_blocks(const AxisCrop& crop);

// out = L x, with L stored as a band: each output block depends on a few neighboring input blocks.
//
// Steps ascend along the input, but for mirrored padding; step s computes the output block `output(s)`. A step without
// blocks lies in constant padding.
class AxisMap {
 public:
  struct Step {
    int first_block;                              // relative to `first_block()`
    int num_blocks;
    std::size_t weights;                          // index of its first matrix
  };

  // Compute L for the lowest `num_frequencies` frequencies of `grid` output blocks, in double, rounded once to float.
  AxisMap(const AxisCrop& crop, int grid, int num_frequencies, Filter filter, const Kernels& kernels);

  int num_frequencies() const { return frequencies_; }
  int grid() const { return static_cast<int>(steps_.size()); }
  int first_block() const { return first_block_; }
  int num_blocks() const { return num_blocks_; }  // input blocks that the crop touches
  int output(int step) const { return reverse_ ? grid() - 1 - step : step; }
  const Step& step(int s) const { return steps_[static_cast<std::size_t>(s)]; }

  // Return the matrix of a step and its i-th input block: `num_frequencies` rows of 8.
  const float* matrix(const Step& step, int i) const {
    return weights_.data() + step.weights + static_cast<std::size_t>(i) * static_cast<std::size_t>(frequencies_) * 8;
  }

  // Return what L makes of a constant 1, `num_frequencies` per output block, in the order of outputs.
  std::vector<double> coverage() const;

  // Return the number of blocks of all steps; L has 8 * frequencies times as many entries.
  long long num_matrices() const { return num_matrices_; }

 private:
  template <bool padded>
  void add_steps(const AxisCrop& crop, int grid, Filter filter, const Kernels& kernels);

  int frequencies_;
  bool reverse_;
  int first_block_ = 0;
  int num_blocks_ = 0;
  long long num_matrices_ = 0;
  std::vector<Step> steps_;
  std::vector<float> weights_;
};

}  // namespace prepixel
