// A box of the upright image, in the axes and samples of the stored planes.
#pragma once

#include <utility>
#include <vector>

#include "jpeg/frequency_mask.hpp"
#include "spectrum/axis_map.hpp"
#include "spectrum/image_view.hpp"
#include "spectrum/upright_crop.hpp"

namespace prepixel {

// The box and the output in stored axes: mirror the stored axes, then transpose if so.
struct StoredView {
  Box box;
  Box shown;                                      // of padding
  Padding padding;                                // none also where the box shows none
  std::array<double, 3> fill;
  bool reverse_rows;
  bool reverse_columns;
  bool transposed;
  int grid_down;
  int grid_across;
  int max_v;
  int max_h;
};

// Check an image. std::invalid_argument: its planes are inconsistent. JpegFault: no linear map leads from them to
// YCbCr, or a side is too long.
void check_image(const ImageView& image);

// Convert an upright crop to a result of `grid_down` x `grid_across` blocks. std::invalid_argument: the box is invalid, or
// outside the image without padding.
StoredView stored_view(const ImageView& image, const UprightCrop& crop, int grid_down, int grid_across);

// Return the crops of one plane: down, across.
std::pair<AxisCrop, AxisCrop> axis_crops(const PlaneView& plane, const StoredView& view);

// Return the blocks of each component that a spectrum of the crop needs. All blocks if the image or the box is invalid;
// resampling then reports the error.
std::vector<BlockRegion> needed_blocks(const ImageView& image, const UprightCrop& crop);

}  // namespace prepixel
