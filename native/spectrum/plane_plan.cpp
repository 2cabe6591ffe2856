#include "spectrum/plane_plan.hpp"

#include <algorithm>
#include <cstdint>

#include "spectrum/work_buffer.hpp"

namespace prepixel {

namespace {

// Floats of one intermediate result: two of them fit in the second-level cache of a core.
constexpr std::size_t strip_floats = 1 << 16;

// In large images rows come first unless that costs this much more: they can be resampled while an image is decoded.
constexpr double most_for_rows = 1.25;

// Return the weight of a stored component in Y, Cb or Cr.
float weight_of(Color color, int channel, std::size_t component) {
  if (color != Color::rgb) return static_cast<std::size_t>(channel) == component ? 1.0f : 0.0f;
  return static_cast<float>(ycbcr_weights[channel][component]);
}

// Return the multiply-adds of applying one map to lines along the other axis, then the other map to the result.
double cost(const AxisPlan& first, const AxisPlan& second) {
  const double first_pass =
      8.0 * static_cast<double>(first.map->num_matrices()) * first.frequencies * 8.0 * second.map->num_blocks();
  const double second_pass = 8.0 * static_cast<double>(second.map->num_matrices()) * second.frequencies *
                             static_cast<double>(first.frequencies) * first.map->grid();
  return first_pass + second_pass;
}

}  // namespace

std::vector<PlaneChannel> channels_of(std::size_t component, Color color, bool transposed,
                                      const SpectrumRequest& request) {
  std::vector<PlaneChannel> channels;
  for (std::size_t i = 0; i < request.channels.size(); ++i) {
    const Channel& channel = request.channels[i];
    const float weight = weight_of(color, channel.component, component);
    if (weight == 0.0f) continue;
    channels.push_back({i, transposed ? channel.u : channel.v, transposed ? channel.v : channel.u, weight});
  }
  return channels;
}

PlanePlan::PlanePlan(const PlaneView& plane, const StoredView& view, std::span<const PlaneChannel> channels,
                     AxisMapCache& maps)
    : transposed(view.transposed) {
  AxisPlan rows, columns;
  for (const PlaneChannel& channel : channels) {
    rows.frequencies = std::max(rows.frequencies, channel.v + 1);
    columns.frequencies = std::max(columns.frequencies, channel.u + 1);
  }
  const auto [down, across] = axis_crops(plane, view);
  rows.map = &maps.get(down, view.grid_down, rows.frequencies);
  columns.map = &maps.get(across, view.grid_across, columns.frequencies);
  const double most = luma_bytes(view) >= least_row_bytes ? most_for_rows : 1;
  rows_first = cost(rows, columns) <= most * cost(columns, rows);
  first = rows_first ? rows : columns;
  second = rows_first ? columns : rows;
}

std::vector<Strip> PlanePlan::strips(std::size_t line_width) const {
  const int steps = first.map->grid();
  const auto grid = static_cast<std::size_t>(steps);
  const std::uint64_t floats = static_cast<std::uint64_t>(first.frequencies) * line_width * grid;
  const auto num_strips =
      static_cast<std::size_t>(std::min<std::uint64_t>((floats + strip_floats - 1) / strip_floats, (grid + 7) / 8));
  const std::size_t capacity = round_up_8((grid + num_strips - 1) / num_strips);
  std::vector<Strip> strips;
  for (int begin = 0; begin < steps; begin += static_cast<int>(capacity))
    strips.push_back({begin, std::min(steps, begin + static_cast<int>(capacity)), capacity});
  return strips;
}

int PlanePlan::first_output(const Strip& strip) const {
  return std::min(first.map->output(strip.begin), first.map->output(strip.end - 1));
}

BlockSpan PlanePlan::input_blocks(const Strip& strip) const {
  BlockSpan blocks{first.map->num_blocks(), 0};
  for (int s = strip.begin; s < strip.end; ++s) {
    const AxisMap::Step& step = first.map->step(s);
    blocks.begin = std::min(blocks.begin, step.first_block);
    blocks.end = std::max(blocks.end, step.first_block + step.num_blocks);
  }
  return blocks;
}

}  // namespace prepixel
