// The orientation of an image: one rule for every reader of the library.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace prepixel {

// Orientation in the APP1 segments of a file (1 to 8, CIPA DC-008, tag 274). The rule:
// - the first Exif segment decides whose first directory (IFD0) holds tag 0x0112 with at least one value of an integer
//   type (BYTE, SHORT, LONG, or signed): its first value where that is 1 to 8, and upright otherwise;
// - without such a segment, the first XMP packet with tiff:Orientation, as an attribute or as an element, decides;
// - without either the image is upright.
// Damage in either is ignored: neither is part of the image data.
struct Orientation {
  std::optional<int> exif;
  std::optional<int> xmp;

  int value() const { return exif.value_or(xmp.value_or(1)); }
};

// Update with the contents of one APP1 segment; others than Exif and XMP are ignored.
void read_orientation(std::span<const std::uint8_t> contents, Orientation& orientation);

}  // namespace prepixel
