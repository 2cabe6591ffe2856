// Fused: quantized coefficients -> dequantized, cropped, resized, upright, mirrored, turned, in YCbCr, chosen
// frequencies, scaled.
//
// One banded linear map per axis and component; no pixel is computed. The result depends on the image, the crop and
// the request only: not on threads, the instruction set, or earlier uses of a workspace.
//
// Parts: stored_crop (the crop in stored axes), axis_map (the map of one axis), plane_plan (maps and their order),
// dequantized_lines (input), separable_pass (both maps), channel_output (scaling, sums of RGB planes, padding's color).
#pragma once

#include <span>
#include <vector>

#include "spectrum/axis_map_cache.hpp"
#include "spectrum/channel_output.hpp"
#include "spectrum/dequantized_lines.hpp"
#include "spectrum/image_view.hpp"
#include "spectrum/plane_plan.hpp"
#include "spectrum/separable_pass.hpp"
#include "spectrum/spectrum_request.hpp"
#include "spectrum/work_buffer.hpp"

namespace prepixel {

// Resamples one image after another; each thread has its own, since it holds the buffers of the computation.
class DctResampler {
 public:
  explicit DctResampler(const SpectrumRequest& request);  // which outlives it
  DctResampler(const DctResampler&) = delete;
  DctResampler& operator=(const DctResampler&) = delete;

  // Write one image: [channel][block row][block column] of float or std::int8_t.
  // std::invalid_argument: the box is invalid or outside the image. JpegFault: the color is not linear.
  void make(const ImageView& image, const UprightCrop& crop, void* out);

 private:
  friend class RowResampler;
  void resample_planes(const ImageView& image, const StoredView& view, ChannelOutput& output);
  void write_missing_chroma(const ImageView& image, const StoredView& view, ScaledOutput& output);
  void resample_plane(const PlaneView& plane, const PlanePlan& plan, std::span<const PlaneChannel> channels,
                      ChannelOutput& output);
  template <class Lines>
  void resample_lines(const PlanePlan& plan, const Lines& lines, std::span<const PlaneChannel> channels,
                      ChannelOutput& output);
  void write_strip(const PlanePlan& plan, const Strip& strip, const StripCoefficients& coefficients,
                   std::span<const PlaneChannel> channels, ChannelOutput& output);

  const SpectrumRequest& request_;
  const Kernels& kernels_;
  AxisMapCache maps_;
  PackedLines packed_lines_;
  SeparablePass pass_;
  std::vector<SeparablePass> row_passes_;         // of RowResampler: one for each plane
  WorkBuffer tile_;                               // one channel of a strip, transposed
  WorkBuffer sums_;
};

}  // namespace prepixel
