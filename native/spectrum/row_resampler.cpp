#include "spectrum/row_resampler.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace prepixel {

RowResampler::RowResampler(DctResampler& resampler, ImageView view, StoredView stored, void* out)
    : resampler_(resampler),
      view_(std::move(view)),
      stored_(stored),
      scaled_(resampler.request_, resampler.kernels_, out) {}

std::unique_ptr<RowResampler> RowResampler::plan(DctResampler& resampler, const ParsedHeader& header,
                                                 const UprightCrop& crop, void* out, std::size_t least_bytes) {
  if (!decodes_by_rows(header)) return nullptr;
  ImageView view = view_of(header);
  std::optional<StoredView> stored;
  try {
    check_image(view);
    const SpectrumRequest& request = resampler.request_;
    stored = stored_view(view, crop, request.grid_down, request.grid_across);
  } catch (const JpegFault&) {  // which resampling the whole image reports
    return nullptr;
  } catch (const std::invalid_argument&) {
    return nullptr;
  }
  if (stored->padding != Padding::none || luma_bytes(*stored) < static_cast<double>(least_bytes)) return nullptr;
  std::unique_ptr<RowResampler> rows(new RowResampler(resampler, std::move(view), *stored, out));
  resampler.maps_.begin_image();
  for (std::size_t i = 0; i < rows->view_.planes.size(); ++i) {
    std::vector<PlaneChannel> channels =
        channels_of(i, rows->view_.color, rows->stored_.transposed, resampler.request_);
    if (channels.empty()) continue;
    PlanePlan planned(rows->view_.planes[i], rows->stored_, channels, resampler.maps_);
    if (!planned.rows_first) return nullptr;
    std::vector<Strip> strips = planned.strips(8 * static_cast<std::size_t>(planned.second.map->num_blocks()));
    std::vector<BlockSpan> spans;
    for (const Strip& strip : strips) spans.push_back(planned.input_blocks(strip));
    rows->planes_.push_back({.component = i,
                             .channels = std::move(channels),
                             .plan = planned,
                             .strips = std::move(strips),
                             .spans = std::move(spans),
                             // A.2.2: the MCUs of a scan of one component are its blocks.
                             .rows_in_mcu = rows->view_.planes.size() == 1 ? 1 : rows->view_.planes[i].sampling_v});
  }
  while (resampler.row_passes_.size() < rows->planes_.size()) resampler.row_passes_.emplace_back(resampler.kernels_);
  for (std::size_t i = 0; i < rows->planes_.size(); ++i) rows->planes_[i].pass = &resampler.row_passes_[i];
  return rows;
}

// When a strip is complete, the next one may need rows from its first on, up to the last of the row of MCUs that completed
// it.
int RowResampler::ring_rows(const Plane& plane) {
  int rows = plane.rows_in_mcu;
  for (std::size_t s = 1; s < plane.spans.size(); ++s)
    rows = std::max(rows, plane.spans[s - 1].end + plane.rows_in_mcu - plane.spans[s].begin);
  return rows;
}

std::vector<int> RowResampler::begin(const Image& frame) {
  if (view_.color == Color::rgb) sums_.emplace(resampler_.request_, resampler_.sums_);
  std::vector<int> rows(frame.components.size(), 1);
  for (Plane& plane : planes_) {
    plane.lines.reset();
    plane.strip = 0;
    rows[plane.component] = ring_rows(plane);
  }
  return rows;
}

void RowResampler::begin_strip(Plane& plane) {
  plane.next = plane.spans[plane.strip].begin;
  plane.pass->begin(plane.plan, *plane.lines, plane.strips[plane.strip]);
}

void RowResampler::take(const Image& image, int mcu_row_end) {
  ChannelOutput& output = sums_ ? static_cast<ChannelOutput&>(*sums_) : scaled_;
  for (Plane& plane : planes_) {
    const Component& component = image.components[plane.component];
    if (!plane.lines) {
      plane.lines.emplace(component, plane.plan, resampler_.kernels_);
      begin_strip(plane);
    }
    const int decoded =
        std::min(mcu_row_end * plane.rows_in_mcu, component.blocks_down) - plane.plan.first.map->first_block();
    while (plane.strip < plane.strips.size()) {
      const Strip& strip = plane.strips[plane.strip];
      const int end = plane.spans[plane.strip].end;
      for (; plane.next < std::min(end, decoded); ++plane.next)
        plane.pass->add(plane.plan, *plane.lines, strip, plane.next);
      if (plane.next < end) break;
      resampler_.write_strip(plane.plan, strip, plane.pass->finish(plane.plan, plane.lines->order(), strip),
                             plane.channels, output);
      if (++plane.strip < plane.strips.size()) begin_strip(plane);
    }
  }
}

void RowResampler::finish() {
  for (const Plane& plane : planes_)
    if (plane.strip != plane.strips.size()) throw std::logic_error("rows of an image are missing");
  if (sums_) {
    sums_->write_to(scaled_);
    return;
  }
  resampler_.write_missing_chroma(view_, stored_, scaled_);
}

}  // namespace prepixel
