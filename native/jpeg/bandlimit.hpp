// A JPEG in, a smaller one out: chosen frequencies kept as they are, the others zero; nothing is dequantized.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "jpeg/encoder.hpp"
#include "jpeg/types.hpp"
#include "jpeg/frequency_mask.hpp"

namespace prepixel {

// Which APPn and COM segments go along. Those that say color and orientation always do, if need be in a shorter form.
enum class Metadata : std::uint8_t { all, icc, none };

struct BandlimitRequest {
  FrequencyMask kept{};
  std::optional<int> restart_interval;  // MCUs; nothing: as the file has it
  int restart_rows = 0;                 // instead of it: rows of MCUs
  Metadata metadata = Metadata::all;
};

// Whether `after` is `before` with all but the kept coefficients zero.
bool same_where_kept(const Component& before, const Component& after, std::uint64_t kept);

// The segments in front of the first scan, in order. The file's segments must be whole up to there, as decode sees to.
std::vector<KeptSegment> header_segments(std::span<const std::uint8_t> file);

// Band-limit one file.
//
// The result is decoded again: std::logic_error where it does not hold exactly the coefficients, tables, size, color and
// orientation that it should. JpegFault: the file cannot be decoded whole, or not be coded (encode.hpp).
Bytes bandlimit(std::span<const std::uint8_t> file, const BandlimitRequest& request, const Limits& limits);

}  // namespace prepixel
