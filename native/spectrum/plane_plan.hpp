// How one plane is resampled: the channels that it contributes to, the maps of its axes and their order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "spectrum/axis_map_cache.hpp"
#include "spectrum/image_view.hpp"
#include "spectrum/spectrum_request.hpp"
#include "spectrum/stored_crop.hpp"

namespace prepixel {

// Images whose luma takes so many bytes of coefficients are resampled while they are decoded; smaller ones stay in the cache
// until they are.
inline constexpr std::size_t least_row_bytes = std::size_t{1} << 20;

// The bytes that the box takes as coefficients of luma.
inline double luma_bytes(const StoredView& view) { return sizeof(std::int16_t) * view.box.height * view.box.width; }

// A channel that a plane contributes to: its frequency in stored axes, and the weight of the plane in it.
struct PlaneChannel {
  std::size_t channel;
  int v;
  int u;
  float weight;
};

// YCbCr of RGB, both level-shifted. Source: JFIF 1.02, p. 3; ITU-R BT.601 luma weights.
inline constexpr double red_weight = 0.299, green_weight = 0.587, blue_weight = 0.114;
inline constexpr double ycbcr_weights[3][3] = {
    {red_weight, green_weight, blue_weight},
    {-red_weight / (2 * (1 - blue_weight)), -green_weight / (2 * (1 - blue_weight)), 0.5},
    {0.5, -green_weight / (2 * (1 - red_weight)), -blue_weight / (2 * (1 - red_weight))}};

// Return the channels that component `component` of the image contributes to.
std::vector<PlaneChannel> channels_of(std::size_t component, Color color, bool transposed,
                                      const SpectrumRequest& request);

// The map of one axis, and how many of its frequencies are needed.
struct AxisPlan {
  const AxisMap* map = nullptr;
  int frequencies = 0;
};

// Steps of the first axis that are computed at once, so that intermediate results stay in the cache.
struct Strip {
  int begin;
  int end;
  std::size_t capacity;                           // output blocks per line: a multiple of 8, at least end - begin
};

struct PlanePlan {
  AxisPlan first;                                 // the axis that is resampled first, whichever order is cheaper
  AxisPlan second;
  bool rows_first;                                // the first axis runs down the stored plane
  bool transposed;                                // the result is the stored image transposed

  PlanePlan(const PlaneView& plane, const StoredView& view, std::span<const PlaneChannel> channels, AxisMapCache& maps);

  // Return the strips, along the input, where each frequency of the first axis takes a line of `line_width` floats.
  std::vector<Strip> strips(std::size_t line_width) const;

  // Return the lowest output block of the first axis in a strip.
  int first_output(const Strip& strip) const;

  // Return the input blocks of the first axis that the steps of a strip read.
  BlockSpan input_blocks(const Strip& strip) const;
};

}  // namespace prepixel
