#include "spectrum/stored_crop.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <string>

#include "spectrum/spectrum_request.hpp"

namespace prepixel {

namespace {

std::string text_of(double number) {
  char text[32];
  std::snprintf(text, sizeof text, "%.7g", number);
  return text;
}

std::string text_of(const Box& box) {
  return "Box(top=" + text_of(box.top) + ", left=" + text_of(box.left) + ", height=" + text_of(box.height) +
         ", width=" + text_of(box.width) + ")";
}

bool is_finite(const Box& box) {
  return std::isfinite(box.top) && std::isfinite(box.left) && std::isfinite(box.height) && std::isfinite(box.width);
}

bool is_inside(const Box& box, const Box& outer) {
  return box.top >= outer.top - box_slack && box.left >= outer.left - box_slack &&
         box.top + box.height <= outer.top + outer.height + box_slack &&
         box.left + box.width <= outer.left + outer.width + box_slack;
}

void check_box(const Box& box) {
  if (!is_finite(box) || box.height <= 0 || box.width <= 0)
    throw std::invalid_argument(text_of(box) +
                                " is not a box: its edges must be finite and its height and width above 0");
}

void check_inside(const Box& box, const Box& whole) {
  if (!is_inside(box, whole))
    throw std::invalid_argument(text_of(box) + " reaches from (" + text_of(box.top) + ", " + text_of(box.left) +
                                ") to (" + text_of(box.top + box.height) + ", " + text_of(box.left + box.width) +
                                "), outside the upright image of " + text_of(whole.height) + " x " +
                                text_of(whole.width) + " (height x width); boxes count from the picture as seen");
}

void check_padded(const Box& box, const Box& shown, const Box& whole, const UprightCrop& crop) {
  if (std::max(box.height, box.width) > max_side || std::max(std::abs(box.top), std::abs(box.left)) > max_side)
    throw std::invalid_argument(text_of(box) + " has a side or a place beyond " + std::to_string(max_side) + " pixels");
  if (!is_finite(shown) || std::min(shown.height, shown.width) < 0)
    throw std::invalid_argument(text_of(shown) + " is not a part of an image: its edges must be finite and ordered");
  check_inside(shown, whole);
  const bool is_empty = shown.height == 0 || shown.width == 0;
  if (is_empty && crop.padding != Padding::constant)
    throw std::invalid_argument(text_of(shown) + " shows nothing, which only padding of one color can follow");
  for (const double level : crop.fill)
    if (!std::isfinite(level) || std::abs(level) > 1e6)
      throw std::invalid_argument("a color of padding has levels of 0..255, not " + text_of(level));
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
  const Box box = crop.box.value_or(whole), shown = crop.shown.value_or(whole);
  check_box(box);
  if (crop.padding == Padding::none) check_inside(box, whole);
  else check_padded(box, shown, whole, crop);

  const auto in_stored_axes = [&](const Box& upright) {
    Box stored = order.transposed ? Box{upright.left, upright.top, upright.width, upright.height} : upright;
    if (order.reverse_rows) stored.top = image.height - (stored.top + stored.height);
    if (order.reverse_columns) stored.left = image.width - (stored.left + stored.width);
    return stored;
  };
  StoredView view{};
  view.box = in_stored_axes(box);
  view.shown = in_stored_axes(shown);
  view.padding = is_inside(box, shown) ? Padding::none : crop.padding;
  view.fill = crop.fill;
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

namespace {

// The box along one axis, in samples of a component whose sampling factor is `factor` of `most`. Multiply before
// dividing, so that whole numbers stay exact.
AxisCrop axis_crop(int num_samples, double start, double length, bool reverse, int factor, int most) {
  return {.num_samples = num_samples,
          .start = start * factor / most,
          .length = length * factor / most,
          .reverse = reverse};
}

// Set the samples that overlap what is shown, [start, start + length) in luma pixels.
void set_padding(AxisCrop& crop, Padding padding, double start, double length, int factor, int most) {
  if (padding == Padding::none) return;
  crop.padding = padding;
  const double begin = std::floor(start * factor / most + box_slack);
  const double end = std::ceil((start + length) * factor / most - box_slack);
  crop.shown_begin = static_cast<int>(std::clamp(begin, 0.0, crop.num_samples + 0.0));
  crop.shown_end = length == 0 ? crop.shown_begin
                               : static_cast<int>(std::clamp(end, crop.shown_begin + 0.0, crop.num_samples + 0.0));
  if (padding == Padding::constant || crop.shown_begin < crop.shown_end) return;
  crop.shown_begin = std::min(crop.shown_begin, crop.num_samples - 1);  // a sliver at the end, by rounding
  crop.shown_end = crop.shown_begin + 1;
}

BlockSpan at_least_one(const BlockSpan& blocks) { return {blocks.begin, std::max(blocks.end, blocks.begin + 1)}; }

}  // namespace

std::pair<AxisCrop, AxisCrop> axis_crops(const PlaneView& plane, const StoredView& view) {
  AxisCrop down =
      axis_crop(plane.height, view.box.top, view.box.height, view.reverse_rows, plane.sampling_v, view.max_v);
  AxisCrop across =
      axis_crop(plane.width, view.box.left, view.box.width, view.reverse_columns, plane.sampling_h, view.max_h);
  set_padding(down, view.padding, view.shown.top, view.shown.height, plane.sampling_v, view.max_v);
  set_padding(across, view.padding, view.shown.left, view.shown.width, plane.sampling_h, view.max_h);
  return {down, across};
}

std::vector<BlockRegion> needed_blocks(const ImageView& image, const UprightCrop& crop) {
  std::vector<BlockRegion> regions(image.planes.size());
  try {
    check_image(image);
    const StoredView view = stored_view(image, crop, 1, 1);
    for (std::size_t i = 0; i < regions.size(); ++i) {
      const auto [down, across] = axis_crops(image.planes[i], view);
      const BlockSpan rows = at_least_one(touched_blocks(down)), columns = at_least_one(touched_blocks(across));
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
