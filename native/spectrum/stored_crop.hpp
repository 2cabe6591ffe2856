// A box of the upright image, in the axes and samples of the stored planes.
#pragma once

#include <utility>

#include "spectrum/axis_map.hpp"
#include "spectrum/resampler.hpp"

namespace prepixel {

struct StoredView {
  Box box;
  bool reverse_rows;
  bool reverse_columns;
  bool transposed;
  int grid_down;
  int grid_across;
  int max_v;
  int max_h;
};

// std::invalid_argument: the planes do not fit together. JpegFault: no linear map leads from them to YCbCr, or a side
// is too long.
void check_image(const ImageView& image);

// `box` null: the whole image. std::invalid_argument: it is none, or outside the image.
StoredView stored_view(const ImageView& image, const Box* box, bool flip, int grid_down, int grid_across);

// Of one plane: down, across.
std::pair<AxisCrop, AxisCrop> axis_crops(const PlaneView& plane, const StoredView& view);

}  // namespace prepixel
