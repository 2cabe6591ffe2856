// Where the rows of resampled channels go: the caller's array, or sums of several planes.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "spectrum/plane_plan.hpp"
#include "spectrum/spectrum_request.hpp"
#include "spectrum/work_buffer.hpp"

namespace prepixel {

class ChannelOutput {
 public:
  virtual ~ChannelOutput() = default;
  // Write `count` coefficients of one channel and row, from column `column` on.
  virtual void write(const PlaneChannel& channel, const float* values, int row, int column, std::size_t count) = 0;
};

// Scales each channel and writes float or int8 to the caller's array.
class ScaledOutput final : public ChannelOutput {
 public:
  ScaledOutput(const SpectrumRequest& request, const Kernels& kernels, void* out)
      : request_(request), kernels_(kernels), out_(out) {}

  void write(const PlaneChannel& channel, const float* values, int row, int column, std::size_t count) override;

 private:
  const SpectrumRequest& request_;
  const Kernels& kernels_;
  void* out_;
};

// Write zero coefficients of some channels.
void write_zeros(const SpectrumRequest& request, std::span<const PlaneChannel> channels, ChannelOutput& output);

// Adds up weighted planes in float: the channels of RGB images are sums of three planes.
class ChannelSums final : public ChannelOutput {
 public:
  ChannelSums(const SpectrumRequest& request, WorkBuffer& sums);

  void write(const PlaneChannel& channel, const float* values, int row, int column, std::size_t count) override;
  void write_to(ScaledOutput& output) const;

 private:
  const SpectrumRequest& request_;
  float* sums_;
};

// Adds the color of constant padding: where the maps, which count padding as 0, show none of the plane.
//
// A plane less its level c is 0 in padding, so out = L (X - c) R^T + c = L X R^T + c (1 - (L 1) (R 1)^T).
class FilledOutput final : public ChannelOutput {
 public:
  FilledOutput(ChannelOutput& output, const PlanePlan& plan, double level);

  void write(const PlaneChannel& channel, const float* values, int row, int column, std::size_t count) override;

 private:
  struct Axis {
    std::vector<double> coverage;                 // of the result's output blocks, `num_frequencies` each
    int num_frequencies;
    double at(int block, int frequency) const {
      return coverage[static_cast<std::size_t>(block * num_frequencies + frequency)];
    }
  };

  ChannelOutput& output_;
  Axis down_;                                     // axes of the result
  Axis across_;
  bool transposed_;
  double level_;
  std::vector<float> filled_;
};

// Return the level of a color, R, G and B in 0..255, in a component of an image, or in a channel's Y, Cb or Cr that a
// gray image lacks; level-shifted.
double level_of(const std::array<double, 3>& fill, Color color, std::size_t component);

}  // namespace prepixel
