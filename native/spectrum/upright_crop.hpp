// What a result shows of an upright image.
#pragma once

#include <array>
#include <optional>

namespace prepixel {

// In luma pixels of the upright image; pixel y covers [y, y + 1).
struct Box {
  double top = 0;
  double left = 0;
  double height = 0;
  double width = 0;
};

// Rounding may move the edges of a box, in pixels: out of the image, or to the other side of a sample's edge.
constexpr double box_slack = 1e-6;

// What lies beyond the part of an image that is shown.
enum class Padding : unsigned char {
  none,                                           // boxes stay inside, and weights of samples beyond are left out
  constant,                                       // one color
  edge,                                           // the outermost samples, again and again
  reflect,                                        // samples mirrored at the center of the outermost one
  symmetric,                                      // samples mirrored at the edge
};

// A box, perhaps mirrored left to right, then turned.
struct UprightCrop {
  std::optional<Box> box = {};                    // none: the whole image
  bool flip = false;
  int turns = 0;                                  // quarters counter-clockwise
  Padding padding = Padding::none;
  std::optional<Box> shown = {};                  // of padding: the part of the image beyond which it begins; none: all
  std::array<double, 3> fill = {};                // of constant padding: R, G, B in 0..255
};

}  // namespace prepixel
