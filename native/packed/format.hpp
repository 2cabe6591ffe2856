// What the reader and the writer of packed images share: the numbers of docs/formats/packed-images.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "packed/packed_image.hpp"
#include "packed/xxh64.hpp"

namespace prepixel {

constexpr std::array<std::uint8_t, 4> pack_magic = {'p', 'p', 'x', 1};
constexpr std::size_t escape_bytes = 6;

// How a component's quantization table is coded; the numbers are the format's.
enum class TableCoding : std::uint8_t { as_before, narrow, wide };

inline std::uint64_t pack_checksum(std::span<const std::uint8_t> header, std::span<const std::uint8_t> payload) {
  return xxh64(payload, xxh64(header.subspan(pack_envelope_bytes), 0));
}

}  // namespace prepixel
