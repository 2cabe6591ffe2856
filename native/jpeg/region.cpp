#include "jpeg/region.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "jpeg/frame_geometry.hpp"

namespace prepixel {

Region aligned(const Region& region, const Image& image) {
  const auto text = [&] {
    return "region (" + std::to_string(region.top) + ", " + std::to_string(region.left) + ", " +
           std::to_string(region.height) + ", " + std::to_string(region.width) + ") of top, left, height, width";
  };
  if (region.height < 1 || region.width < 1) throw std::invalid_argument(text() + " is empty");
  if (region.top < 0 || region.left < 0 || region.height > image.height - region.top ||
      region.width > image.width - region.left)
    throw std::invalid_argument(text() + " reaches out of the stored image of " + std::to_string(image.height) + " x " +
                                std::to_string(image.width) + " (height x width)");
  const FrameGeometry geometry(image.height, image.width, image.components);
  const int extra_rows = region.top % (8 * geometry.max_v), extra_columns = region.left % (8 * geometry.max_h);
  return {region.top - extra_rows, region.left - extra_columns, region.height + extra_rows,
          region.width + extra_columns};
}

std::vector<BlockRegion> blocks_of(const Region& region, const Image& image) {
  const FrameGeometry frame(image.height, image.width, image.components);
  const FrameGeometry part(region.height, region.width, image.components);
  std::vector<BlockRegion> blocks;
  for (const Component& component : image.components) {
    const PlaneSize size = part.plane(component.sampling_v, component.sampling_h);
    const int row = region.top / (8 * frame.max_v) * component.sampling_v;
    const int column = region.left / (8 * frame.max_h) * component.sampling_h;
    blocks.push_back({row, row + size.blocks_down, column, column + size.blocks_across});
  }
  return blocks;
}

Image crop(Image&& image, const Region& region) {
  const std::vector<BlockRegion> blocks = blocks_of(region, image);
  const FrameGeometry part(region.height, region.width, image.components);
  Image out;
  static_cast<Header&>(out) = image;
  out.height = region.height;
  out.width = region.width;
  out.restart_interval = image.restart_interval;
  out.num_scans = image.num_scans;
  out.missing_blocks = image.missing_blocks;
  out.warnings = image.warnings;
  out.checkpoints_refused = image.checkpoints_refused;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    Component& whole = image.components[i];
    Component& component = out.components.emplace_back();
    static_cast<ComponentHeader&>(component) = whole;
    static_cast<PlaneSize&>(component) = part.plane(whole.sampling_v, whole.sampling_h);
    const BlockRegion held = clipped(whole.held, whole), wanted = clipped(blocks[i], whole);
    if (held == wanted) {
      component.blocks = std::move(whole.blocks);
      continue;
    }
    if (wanted.row_begin < held.row_begin || wanted.row_end > held.row_end || wanted.column_begin < held.column_begin ||
        wanted.column_end > held.column_end)
      throw std::logic_error("a region of blocks that the image does not hold");
    component.blocks = Blocks(static_cast<std::size_t>(component.num_blocks()));
    const auto across = static_cast<std::size_t>(held.column_end - held.column_begin);
    Block* to = component.blocks.data();
    for (int row = wanted.row_begin; row < wanted.row_end; ++row, to += component.blocks_across)
      std::copy_n(whole.blocks.data() + static_cast<std::size_t>(row - held.row_begin) * across +
                      static_cast<std::size_t>(wanted.column_begin - held.column_begin),
                  component.blocks_across, to);
  }
  return out;
}

}  // namespace prepixel
