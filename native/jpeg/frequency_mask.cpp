#include "jpeg/frequency_mask.hpp"

#include <bit>

namespace prepixel {

std::uint64_t kept_of(std::size_t component, Color color, const FrequencyMask& kept) {
  switch (color) {
    case Color::gray: return kept[0];
    case Color::ycbcr:
    case Color::ycck: return kept[component % 3];  // K as Y
    case Color::rgb:
    case Color::cmyk:
    case Color::unknown: break;
  }
  return kept[0] | kept[1] | kept[2];
}

ScanOrderMap::ScanOrderMap(std::uint64_t kept) : discarded(static_cast<std::uint8_t>(std::countr_one(kept) & 63)) {
  for (std::size_t k = 0; k < 64; ++k) {
    const std::uint8_t natural = zigzag_to_natural[k];
    const bool is_kept = (kept >> natural & 1) != 0;
    stored_at[k] = is_kept ? natural : discarded;
    if (is_kept) last = static_cast<int>(k);
  }
}

}  // namespace prepixel
