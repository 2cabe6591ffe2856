// A rectangle of an image, as far as whole MCUs hold it: what `jpegtran -crop` keeps.
#pragma once

#include <vector>

#include "jpeg/frequency_mask.hpp"
#include "jpeg/types.hpp"

namespace prepixel {

// Luma samples, as stored: before orientation.
struct Region {
  int top = 0;
  int left = 0;
  int height = 0;
  int width = 0;
};

// Move a region's top and left to the borders of the MCUs that hold them; its bottom and right stay. std::invalid_argument:
// it is empty, or reaches out of the image.
Region aligned(const Region& region, const Image& image);

// The blocks of each component that an aligned region needs.
std::vector<BlockRegion> blocks_of(const Region& region, const Image& image);

// An image of the region alone; its blocks are moved where the image holds just those. std::logic_error: it does not hold
// them all.
Image crop(Image&& image, const Region& region);

}  // namespace prepixel
