#include "spectrum/axis_map.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace prepixel {

namespace {

double triangle(double distance) { return std::max(0.0, 1 - distance); }

// Keys's cubic kernel for a = -1/2. Source: Keys 1981, equation 15.
double catmull_rom(double distance) {
  if (distance < 1) return (1.5 * distance - 2.5) * distance * distance + 1;
  if (distance < 2) return ((-0.5 * distance + 2.5) * distance - 4) * distance + 2;
  return 0;
}

// The input samples of one output sample, and their weights, which sum to 1.
struct Taps {
  int first = 0;
  std::vector<double> weights;
};

struct SampleSpan {
  int begin;
  int end;
};

// Crop, then resize: only samples that overlap the crop are read. Rounding may move a crop out of the image.
SampleSpan touched_samples(const AxisCrop& crop) {
  const double end = std::ceil(crop.start + crop.length);
  const int first = static_cast<int>(std::clamp(std::floor(crop.start), 0.0, crop.num_samples - 1.0));
  return {first, static_cast<int>(std::clamp(end, first + 1.0, static_cast<double>(crop.num_samples)))};
}

class Resizer {
 public:
  Resizer(const AxisCrop& crop, int num_outputs, Filter filter)
      : start_(crop.start), step_(crop.length / num_outputs), filter_(filter) {
    const SampleSpan touched = touched_samples(crop);
    first_ = touched.begin;
    stop_ = touched.end;
    stretch_ = std::max(1.0, step_);
    reach_ = (filter == Filter::bilinear ? 1 : 2) * stretch_;
  }

  void fill(int output, Taps& taps) const {
    const double center = start_ + (output + 0.5) * step_;
    // Clamp before converting: conversion rounds nonnegative numbers down.
    const int low = static_cast<int>(std::clamp(center - reach_ - 0.5, first_ + 0.0, stop_ - 1.0));
    const double end = std::clamp(center + reach_ + 0.5, low + 1.0, stop_ + 0.0);
    const int high = static_cast<int>(end) + (static_cast<int>(end) < end);
    taps.first = low;
    taps.weights.resize(static_cast<std::size_t>(high - low));
    double sum = 0;
    for (int j = low; j < high; ++j) {
      const double samples = std::abs(j + 0.5 - center);
      const double distance = stretch_ == 1 ? samples : samples / stretch_;  // the same value, without a division
      double& weight = taps.weights[static_cast<std::size_t>(j - low)];
      weight = filter_ == Filter::bilinear ? triangle(distance) : catmull_rom(distance);
      sum += weight;
    }
    // Zeros at the ends would only widen the band.
    while (taps.weights.size() > 1 && taps.weights.back() == 0) taps.weights.pop_back();
    const auto begin = std::find_if(taps.weights.begin(), taps.weights.end() - 1, [](double w) { return w != 0; });
    taps.first += static_cast<int>(begin - taps.weights.begin());
    taps.weights.erase(taps.weights.begin(), begin);
    for (double& weight : taps.weights) weight /= sum;
  }

 private:
  double start_;
  double step_;
  double stretch_ = 1;
  double reach_ = 1;
  Filter filter_;
  int first_ = 0;
  int stop_ = 0;
};

}  // namespace

BlockSpan touched_blocks(const AxisCrop& crop) {
  const SampleSpan samples = touched_samples(crop);
  return {samples.begin / 8, (samples.end + 7) / 8};
}

AxisMap::AxisMap(const AxisCrop& crop, int grid, int num_frequencies, Filter filter, const Kernels& kernels)
    : frequencies_(num_frequencies), reverse_(crop.reverse) {
  const Resizer resizer(crop, 8 * grid, filter);
  const BlockSpan touched = touched_blocks(crop);
  first_block_ = touched.begin;
  num_blocks_ = touched.end - touched.begin;
  steps_.reserve(static_cast<std::size_t>(grid));
  const std::size_t matrix = 8 * static_cast<std::size_t>(num_frequencies);
  weights_.reserve((2 * static_cast<std::size_t>(grid) + 2 * static_cast<std::size_t>(num_blocks_)) * matrix);
  std::array<Taps, 8> taps;
  std::vector<double> from_coefficients;          // [sample][input block][frequency]
  std::array<double, 8> signs;                    // mirroring a block negates its odd frequencies
  for (std::size_t k = 0; k < 8; ++k) signs[k] = reverse_ && k % 2 == 1 ? -1 : 1;
  for (int s = 0; s < grid; ++s) {
    int first = num_blocks_, last = 0;
    for (int i = 0; i < 8; ++i) {
      Taps& tap = taps[static_cast<std::size_t>(i)];
      resizer.fill(8 * s + i, tap);
      first = std::min(first, tap.first / 8 - first_block_);
      last = std::max(last, (tap.first + static_cast<int>(tap.weights.size()) - 1) / 8 - first_block_);
    }
    const std::size_t blocks = static_cast<std::size_t>(last - first + 1);
    from_coefficients.assign(64 * blocks, 0.0);
    for (std::size_t i = 0; i < 8; ++i) {         // A D_in^T
      const int position = taps[i].first - 8 * (first + first_block_);
      kernels.add_samples(taps[i].weights.data(), taps[i].weights.size(), static_cast<std::size_t>(position),
                          from_coefficients.data() + i * 8 * blocks);
    }
    steps_.push_back({first, last - first + 1, weights_.size()});
    num_matrices_ += last - first + 1;
    weights_.resize(weights_.size() + blocks * 8 * static_cast<std::size_t>(num_frequencies));
    kernels.keep_frequencies(from_coefficients.data(), blocks, static_cast<std::size_t>(num_frequencies), signs.data(),
                             weights_.data() + steps_.back().weights);  // D_out
  }
}

}  // namespace prepixel
