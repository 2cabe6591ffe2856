#include "spectrum/stored_crop.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <string>

#include "spectrum/spectrum_request.hpp"

namespace prepixel {

namespace {

// Rounding may move the edges of a box out of the image; taps are clipped to it anyway.
constexpr double box_slack = 1e-6;

std::string text_of(double number) {
  char text[32];
  std::snprintf(text, sizeof text, "%.7g", number);
  return text;
}

std::string text_of(const Box& box) {
  return "Box(top=" + text_of(box.top) + ", left=" + text_of(box.left) + ", height=" + text_of(box.height) +
         ", width=" + text_of(box.width) + ")";
}

void check_inside(const Box& box, int height, int width) {
  const bool finite = std::isfinite(box.top) && std::isfinite(box.left) && std::isfinite(box.height) &&
                      std::isfinite(box.width);
  if (!finite || box.height <= 0 || box.width <= 0)
    throw std::invalid_argument(text_of(box) +
                                " is not a box: its edges must be finite and its height and width above 0");
  if (box.top < -box_slack || box.left < -box_slack || box.top + box.height > height + box_slack ||
      box.left + box.width > width + box_slack)
    throw std::invalid_argument(text_of(box) + " reaches from (" + text_of(box.top) + ", " + text_of(box.left) +
                                ") to (" + text_of(box.top + box.height) + ", " + text_of(box.left + box.width) +
                                "), outside the upright image of " + std::to_string(height) + " x " +
                                std::to_string(width) + " (height x width); boxes count from the picture as seen");
}

// Mirror the stored axes, then transpose if so. Source: Exif 2.32 (CIPA DC-008), tag 274.
struct AxisOrder {
  bool reverse_rows;
  bool reverse_columns;
  bool transposed;
};

AxisOrder axis_order(int orientation) {
  switch (orientation) {
    case 2: return {false, true, false};
    case 3: return {true, true, false};
    case 4: return {true, false, false};
    case 5: return {false, false, true};
    case 6: return {true, false, true};
    case 7: return {true, true, true};
    case 8: return {false, true, true};
    default: return {false, false, false};
  }
}

// Mirror a result left to right: its columns are stored rows where it is stored transposed.
void mirror(AxisOrder& order) {
  bool& reversed = order.transposed ? order.reverse_rows : order.reverse_columns;
  reversed = !reversed;
}

// Turn a result by a quarter counter-clockwise: mirror it left to right, then transpose it.
void turn(AxisOrder& order) {
  mirror(order);
  order.transposed = !order.transposed;
}

// How the stored axes become those of a crop's result, from how they become upright.
AxisOrder shown_order(AxisOrder order, const UprightCrop& crop) {
  if (crop.flip) mirror(order);
  for (int quarter = 0; quarter < (crop.turns & 3); ++quarter) turn(order);  // modulo 4, of negative numbers, too
  return order;
}

}  // namespace

void check_image(const ImageView& image) {
  if (image.color == Color::unknown)
    throw JpegFault(Fault::unsupported, no_offset,
                    "an image of " + std::to_string(image.planes.size()) +
                        " components has no colors that any convention names",
                    "Use its components one by one, by resample_plane");
  if (!is_linear(image.color))
    throw JpegFault(Fault::unsupported, no_offset,
                    "a CMYK or YCCK image has no YCbCr coefficients, and no linear map leads to them",
                    "Read it by prepixel.jpeg.read_image, which converts its pixels");
  if (image.planes.size() != (image.color == Color::gray ? 1u : 3u))
    throw std::invalid_argument("an image of " + std::to_string(image.planes.size()) +
                                " components is neither gray nor of three colors");
  if (image.orientation < 1 || image.orientation > 8)
    throw std::invalid_argument("EXIF orientations are 1..8, not " + std::to_string(image.orientation));
  for (const PlaneView& plane : image.planes) {
    if (plane.height > max_side || plane.width > max_side)
      throw JpegFault(Fault::limit, no_offset,
                      "a side of " + std::to_string(std::max(plane.height, plane.width)) + " samples is above " +
                          std::to_string(max_side),
                      "Cut the image in pieces");
    if (plane.height < 1 || plane.width < 1 || plane.blocks_down != (plane.height + 7) / 8 ||
        plane.blocks_across != (plane.width + 7) / 8)
      throw std::invalid_argument(std::to_string(plane.height) + " x " + std::to_string(plane.width) +
                                  " samples do not fill " + std::to_string(plane.blocks_down) + " x " +
                                  std::to_string(plane.blocks_across) + " blocks");
    if (plane.sampling_v < 1 || plane.sampling_v > 4 || plane.sampling_h < 1 || plane.sampling_h > 4)
      throw std::invalid_argument("sampling factors are 1..4, not " + std::to_string(plane.sampling_v) + " and " +
                                  std::to_string(plane.sampling_h));
  }
}

StoredView stored_view(const ImageView& image, const UprightCrop& crop, int grid_down, int grid_across) {
  const AxisOrder order = axis_order(image.orientation);
  const Box whole{0, 0, static_cast<double>(order.transposed ? image.width : image.height),
                  static_cast<double>(order.transposed ? image.height : image.width)};
  const Box upright = crop.box.value_or(whole);
  check_inside(upright, static_cast<int>(whole.height), static_cast<int>(whole.width));

  StoredView view{};
  view.box = order.transposed ? Box{upright.left, upright.top, upright.width, upright.height} : upright;
  if (order.reverse_rows) view.box.top = image.height - (view.box.top + view.box.height);
  if (order.reverse_columns) view.box.left = image.width - (view.box.left + view.box.width);
  const AxisOrder result = shown_order(order, crop);
  view.reverse_rows = result.reverse_rows;
  view.reverse_columns = result.reverse_columns;
  view.transposed = result.transposed;
  view.grid_down = result.transposed ? grid_across : grid_down;
  view.grid_across = result.transposed ? grid_down : grid_across;
  for (const PlaneView& plane : image.planes) {
    view.max_v = std::max(view.max_v, plane.sampling_v);
    view.max_h = std::max(view.max_h, plane.sampling_h);
  }
  return view;
}

// Multiply before dividing, so that whole numbers stay exact.
std::pair<AxisCrop, AxisCrop> axis_crops(const PlaneView& plane, const StoredView& view) {
  return {{plane.height, view.box.top * plane.sampling_v / view.max_v, view.box.height * plane.sampling_v / view.max_v,
           view.reverse_rows},
          {plane.width, view.box.left * plane.sampling_h / view.max_h, view.box.width * plane.sampling_h / view.max_h,
           view.reverse_columns}};
}

std::vector<BlockRegion> needed_blocks(const ImageView& image, const UprightCrop& crop) {
  std::vector<BlockRegion> regions(image.planes.size());
  try {
    check_image(image);
    const StoredView view = stored_view(image, crop, 1, 1);
    for (std::size_t i = 0; i < regions.size(); ++i) {
      const auto [down, across] = axis_crops(image.planes[i], view);
      const BlockSpan rows = touched_blocks(down), columns = touched_blocks(across);
      regions[i] = {rows.begin, rows.end, columns.begin, columns.end};
    }
  } catch (const JpegFault&) {
    return std::vector<BlockRegion>(image.planes.size());
  } catch (const std::invalid_argument&) {
    return std::vector<BlockRegion>(image.planes.size());
  }
  return regions;
}

}  // namespace prepixel
