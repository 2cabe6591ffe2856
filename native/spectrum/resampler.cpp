#include "spectrum/resampler.hpp"

#include <algorithm>

namespace prepixel {

DctResampler::DctResampler(const SpectrumRequest& request)
    : request_(request), kernels_(kernels(request.simd)), maps_(request.filter, kernels_), pass_(kernels_) {
  request.check();
}

void DctResampler::make(const ImageView& image, const UprightCrop& crop, void* out) {
  check_image(image);
  const StoredView view = stored_view(image, crop, request_.grid_down, request_.grid_across);
  maps_.begin_image();
  ScaledOutput scaled(request_, kernels_, out);
  if (image.color == Color::rgb) {
    ChannelSums sums(request_, sums_);
    resample_planes(image, view, sums);
    sums.write_to(scaled);
    return;
  }
  resample_planes(image, view, scaled);
  write_missing_chroma(image, view, scaled);
}

void DctResampler::resample_planes(const ImageView& image, const StoredView& view, ChannelOutput& output) {
  for (std::size_t i = 0; i < image.planes.size(); ++i) {
    const PlaneView& plane = image.planes[i];
    const std::vector<PlaneChannel> channels = channels_of(i, image.color, view.transposed, request_);
    if (channels.empty()) continue;
    const PlanePlan plan(plane, view, channels, maps_);
    if (view.padding == Padding::constant) {
      FilledOutput filled(output, plan, level_of(view.fill, image.color, i));
      resample_plane(plane, plan, channels, filled);
    } else {
      resample_plane(plane, plan, channels, output);
    }
  }
}

// Chroma of a gray image is 0, but for the color of its padding.
void DctResampler::write_missing_chroma(const ImageView& image, const StoredView& view, ScaledOutput& output) {
  for (std::size_t i = image.planes.size(); i < 3; ++i) {
    const std::vector<PlaneChannel> channels = channels_of(i, image.color, view.transposed, request_);
    if (channels.empty()) continue;
    if (view.padding == Padding::constant) {
      const PlanePlan plan(image.planes[0], view, channels, maps_);
      FilledOutput filled(output, plan, level_of(view.fill, image.color, i));
      write_zeros(request_, channels, filled);
    } else {
      write_zeros(request_, channels, output);
    }
  }
}

void DctResampler::resample_plane(const PlaneView& plane, const PlanePlan& plan, std::span<const PlaneChannel> channels,
                                  ChannelOutput& output) {
  if (plan.first.map->num_blocks() == 0 || plan.second.map->num_blocks() == 0) {
    write_zeros(request_, channels, output);      // all of it is padding
  } else if (plane.packed != nullptr) {
    packed_lines_.read(plane, plan);
    resample_lines(plan, packed_lines_, channels, output);
  } else {
    resample_lines(plan, BlockLines(plane, plan, kernels_), channels, output);
  }
}

template <class Lines>
void DctResampler::resample_lines(const PlanePlan& plan, const Lines& lines, std::span<const PlaneChannel> channels,
                                  ChannelOutput& output) {
  for (const Strip& strip : plan.strips(lines.width()))
    write_strip(plan, strip, pass_.run(plan, lines, strip), channels, output);
}

void DctResampler::write_strip(const PlanePlan& plan, const Strip& strip, const StripCoefficients& coefficients,
                               std::span<const PlaneChannel> channels, ChannelOutput& output) {
  const int first_output = plan.first_output(strip);
  const int second_grid = plan.second.map->grid();
  const bool first_is_down = plan.rows_first != plan.transposed;
  for (const PlaneChannel& channel : channels) {
    const int first = plan.rows_first ? channel.v : channel.u;
    const int second = plan.rows_first ? channel.u : channel.v;
    const float* source = coefficients.values + static_cast<std::size_t>(second) * coefficients.second_step +
                          static_cast<std::size_t>(first) * coefficients.first_step;
    if (first_is_down) {
      const std::size_t stride = round_up_8(static_cast<std::size_t>(second_grid));
      const float* tile = tile_.reserve(strip.capacity * stride);
      kernels_.transpose(source, coefficients.output_step, stride, strip.capacity, tile_.data(), stride);
      for (int i = 0; i < strip.end - strip.begin; ++i, tile += stride)
        output.write(channel, tile, first_output + i, 0, static_cast<std::size_t>(second_grid));
    } else {
      for (int row = 0; row < second_grid; ++row, source += coefficients.output_step)
        output.write(channel, source, row, first_output, static_cast<std::size_t>(strip.end - strip.begin));
    }
  }
}

}  // namespace prepixel
