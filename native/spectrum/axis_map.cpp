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
  if (crop.padding != Padding::none) {
    const int first = static_cast<int>(std::floor(crop.start + box_slack));
    return {first, std::max(first + 1, static_cast<int>(std::ceil(crop.start + crop.length - box_slack)))};
  }
  const double begin = std::floor(crop.start), end = std::ceil(crop.start + crop.length);
  const int first = static_cast<int>(std::clamp(begin, 0.0, crop.num_samples - 1.0));
  return {first, static_cast<int>(std::clamp(end, first + 1.0, static_cast<double>(crop.num_samples)))};
}

// The sample that stands at place `at`, which may be padding.
int padded_sample(const AxisCrop& crop, int at) {
  const int count = crop.shown_end - crop.shown_begin;
  if (crop.padding == Padding::edge || count == 1) return std::clamp(at, crop.shown_begin, crop.shown_end - 1);
  const int period = crop.padding == Padding::reflect ? 2 * (count - 1) : 2 * count;
  const int place = ((at - crop.shown_begin) % period + period) % period;
  const int mirrored = crop.padding == Padding::reflect ? period - place : period - 1 - place;
  return crop.shown_begin + std::min(place, mirrored);
}

// Move the weights of padding to the samples that it shows; constant padding has none.
void fold_padding(const AxisCrop& crop, Taps& taps) {
  const int begin = taps.first, end = begin + static_cast<int>(taps.weights.size());
  if (begin >= crop.shown_begin && end <= crop.shown_end) return;
  if (crop.padding == Padding::constant) {
    const int first = std::clamp(crop.shown_begin, begin, end), last = std::clamp(crop.shown_end, first, end);
    taps.weights.erase(taps.weights.begin() + (last - begin), taps.weights.end());
    taps.weights.erase(taps.weights.begin(), taps.weights.begin() + (first - begin));
    taps.first = first;
    return;
  }
  int low = crop.shown_end, high = crop.shown_begin;
  for (int at = begin; at < end; ++at) {
    low = std::min(low, padded_sample(crop, at));
    high = std::max(high, padded_sample(crop, at) + 1);
  }
  std::vector<double> folded(static_cast<std::size_t>(high - low));
  for (int at = begin; at < end; ++at) {
    const double weight = taps.weights[static_cast<std::size_t>(at - begin)];
    folded[static_cast<std::size_t>(padded_sample(crop, at) - low)] += weight;
  }
  taps.first = low;
  taps.weights = std::move(folded);
}

class Resizer {
 public:
  Resizer(const AxisCrop& crop, int num_outputs, Filter filter)
      : crop_(crop), start_(crop.start), step_(crop.length / num_outputs), filter_(filter) {
    const SampleSpan touched = touched_samples(crop);
    first_ = touched.begin;
    stop_ = touched.end;
    stretch_ = std::max(1.0, step_);
    reach_ = (filter == Filter::bilinear ? 1 : 2) * stretch_;
  }

  template <bool padded>
  void fill(int output, Taps& taps) const {
    const double center = start_ + (output + 0.5) * step_;
    // Clamp before converting: conversion rounds nonnegative numbers down. Others are of padding.
    const double begin_at = std::clamp(center - reach_ - 0.5, first_ + 0.0, stop_ - 1.0);
    int low = static_cast<int>(begin_at);
    if constexpr (padded) low -= begin_at < low;
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
    if constexpr (padded) fold_padding(crop_, taps);
  }

 private:
  const AxisCrop& crop_;
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
  SampleSpan samples = touched_samples(crop);
  if (crop.padding != Padding::none) {
    const bool inside = samples.begin >= crop.shown_begin && samples.end <= crop.shown_end;
    const int begin = std::clamp(samples.begin, crop.shown_begin, crop.shown_end);
    const int end = std::clamp(samples.end, begin, crop.shown_end);
    if (crop.padding == Padding::constant && begin == end) return {0, 0};
    if (crop.padding == Padding::constant) samples = {begin, end};
    else if (!inside) samples = {crop.shown_begin, crop.shown_end};  // padding may show any of them
  }
  return {samples.begin / 8, (samples.end + 7) / 8};
}

AxisMap::AxisMap(const AxisCrop& crop, int grid, int num_frequencies, Filter filter, const Kernels& kernels)
    : frequencies_(num_frequencies), reverse_(crop.reverse) {
  const BlockSpan touched = touched_blocks(crop);
  first_block_ = touched.begin;
  num_blocks_ = touched.end - touched.begin;
  steps_.reserve(static_cast<std::size_t>(grid));
  const std::size_t matrix = 8 * static_cast<std::size_t>(num_frequencies);
  weights_.reserve((2 * static_cast<std::size_t>(grid) + 2 * static_cast<std::size_t>(num_blocks_)) * matrix);
  if (crop.padding == Padding::none) add_steps<false>(crop, grid, filter, kernels);
  else add_steps<true>(crop, grid, filter, kernels);
}

template <bool padded>
void AxisMap::add_steps(const AxisCrop& crop, int grid, Filter filter, const Kernels& kernels) {
  const Resizer resizer(crop, 8 * grid, filter);
  std::array<Taps, 8> taps;
  std::vector<double> from_coefficients;          // [sample][input block][frequency]
  std::array<double, 8> signs;                    // mirroring a block negates its odd frequencies
  for (std::size_t k = 0; k < 8; ++k) signs[k] = reverse_ && k % 2 == 1 ? -1 : 1;
  for (int s = 0; s < grid; ++s) {
    int first = num_blocks_, last = -1;
    for (int i = 0; i < 8; ++i) {
      Taps& tap = taps[static_cast<std::size_t>(i)];
      resizer.fill<padded>(8 * s + i, tap);
      if (padded && tap.weights.empty()) continue;  // a sample of constant padding
      first = std::min(first, tap.first / 8 - first_block_);
      last = std::max(last, (tap.first + static_cast<int>(tap.weights.size()) - 1) / 8 - first_block_);
    }
    if (padded && last < 0) {
      steps_.push_back({0, 0, weights_.size()});
      continue;
    }
    const std::size_t blocks = static_cast<std::size_t>(last - first + 1);
    from_coefficients.assign(64 * blocks, 0.0);
    for (std::size_t i = 0; i < 8; ++i) {         // A D_in^T
      if (padded && taps[i].weights.empty()) continue;
      const int position = taps[i].first - 8 * (first + first_block_);
      kernels.add_samples(taps[i].weights.data(), taps[i].weights.size(), static_cast<std::size_t>(position),
                          from_coefficients.data() + i * 8 * blocks);
    }
    steps_.push_back({first, last - first + 1, weights_.size()});
    num_matrices_ += last - first + 1;
    weights_.resize(weights_.size() + blocks * 8 * static_cast<std::size_t>(frequencies_));
    kernels.keep_frequencies(from_coefficients.data(), blocks, static_cast<std::size_t>(frequencies_), signs.data(),
                             weights_.data() + steps_.back().weights);  // D_out
  }
}

std::vector<double> AxisMap::coverage() const {
  std::vector<double> coverage(steps_.size() * static_cast<std::size_t>(frequencies_));
  for (int s = 0; s < grid(); ++s)
    for (int i = 0; i < step(s).num_blocks; ++i)
      for (int k = 0; k < frequencies_; ++k)
        coverage[static_cast<std::size_t>(output(s) * frequencies_ + k)] += std::sqrt(8.0) * matrix(step(s), i)[8 * k];
  return coverage;
}

}  // namespace prepixel
