// What is wanted of an image's coefficients, where that is not all of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "jpeg/types.hpp"

namespace prepixel {

constexpr std::uint64_t all_frequencies = ~std::uint64_t{0};

// Of Y, Cb, Cr: natural order, bit 8 v + u.
using FrequencyMask = std::array<std::uint64_t, 3>;
constexpr FrequencyMask all_masks = {all_frequencies, all_frequencies, all_frequencies};

// What is kept of a component. Gray files keep what is kept of Y; K of a YCCK file does, too; RGB, CMYK and files of
// two components keep in every component whatever is kept of any, since Y, Cb and Cr are made of them all.
std::uint64_t kept_of(std::size_t component, Color color, const FrequencyMask& kept);

// Rows and columns of blocks, each up to its end. The default is a whole plane.
struct BlockRegion {
  int row_begin = 0;
  int row_end = std::numeric_limits<int>::max();
  int column_begin = 0;
  int column_end = std::numeric_limits<int>::max();

  bool operator==(const BlockRegion&) const = default;
};

// Of one component.
struct Selection {
  std::uint64_t kept = all_frequencies;  // natural order
  BlockRegion region;

  bool is_all() const { return kept == all_frequencies && region == BlockRegion{}; }
};

// FrequencyMask frequencies as a decoder meets them.
struct ScanOrderMap {
  explicit ScanOrderMap(std::uint64_t kept);

  std::array<std::uint8_t, 64> of{};  // where each zigzag position is stored; those that nobody keeps, in one place
  std::uint8_t dropped = 0;           // that place, to be zeroed at the end; not where all are kept
  int last = 0;                       // the last zigzag position kept
};

}  // namespace prepixel
