// Band-limit a JPEG without dequantizing it: chosen frequencies are kept exactly, the others become zero.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "jpeg/encoder.hpp"
#include "jpeg/types.hpp"
#include "jpeg/frequency_mask.hpp"

namespace prepixel {

// Which APPn and COM segments are kept. Color and orientation are always kept, if necessary in a shorter form.
enum class Metadata : std::uint8_t { all, icc, none };

struct BandlimitRequest {
  FrequencyMask kept{};
  std::optional<int> restart_interval;  // MCUs; empty: as in the file
  int restart_rows = 0;                 // instead of it: rows of MCUs
  Metadata metadata = Metadata::all;
};

// Return whether `after` is `before` with all other than the kept coefficients zero.
bool same_where_kept(const Component& before, const Component& after, std::uint64_t kept);

// Return the APPn and COM segments before the first scan, in order, without those of an index (markers.hpp). They must be
// complete, as after a successful decode.
std::vector<KeptSegment> header_segments(std::span<const std::uint8_t> file);

// Band-limit one file.
//
// The result is verified by decoding it: std::logic_error if its coefficients, tables, size, color or orientation are
// not exactly the expected ones. JpegFault: the file cannot be decoded completely, or not be encoded (encoder.hpp).
Bytes bandlimit(std::span<const std::uint8_t> file, const BandlimitRequest& request, const Limits& limits);

}  // namespace prepixel
