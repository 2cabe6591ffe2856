// Which coefficients of an image are wanted: frequencies and blocks.
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

// Return the mask of one component. Gray, and K of YCCK, use the mask of Y. RGB, CMYK and files of two components use
// the union of the three masks in every component, since Y, Cb and Cr are linear combinations of all of them.
std::uint64_t kept_of(std::size_t component, Color color, const FrequencyMask& kept);

// Of one component.
struct Selection {
  std::uint64_t kept = all_frequencies;  // natural order
  BlockRegion region;

  bool is_all() const { return kept == all_frequencies && region == BlockRegion{}; }
};

// A mask in the order in which a scan codes the frequencies.
struct ScanOrderMap {
  explicit ScanOrderMap(std::uint64_t kept);

  std::array<std::uint8_t, 64> stored_at{};  // by zigzag position: the natural index, or `discarded`
  std::uint8_t discarded = 0;           // where frequencies that are not kept go, to be zeroed at the end
  int last = 0;                       // highest zigzag position that is kept
};

}  // namespace prepixel
