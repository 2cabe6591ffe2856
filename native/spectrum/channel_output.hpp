// Where the rows of resampled channels go: the caller's array, or sums of several planes.
#pragma once

#include <cstddef>

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

  // Write one channel of zero coefficients: components that a gray image lacks.
  void write_zeros(std::size_t channel);

 private:
  const SpectrumRequest& request_;
  const Kernels& kernels_;
  void* out_;
};

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

}  // namespace prepixel
