// An index inside its file, in APP11 segments that other readers pass over.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "jpeg/types.hpp"

namespace prepixel {

// The bytes of the index that a file holds in front of its tables; empty: none, or not all of its segments.
std::vector<std::uint8_t> embedded_index(std::span<const std::uint8_t> file);

// The same file with an index of itself, an older one replaced. JpegFault: it cannot be decoded.
std::vector<std::uint8_t> embed_index(std::span<const std::uint8_t> file, const Limits& limits, int every);

// The same file without an index.
std::vector<std::uint8_t> without_index(std::span<const std::uint8_t> file);

}  // namespace prepixel
