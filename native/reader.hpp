// From a file's bytes to its quantized coefficients. Input is hostile: every read is bounded.
#pragma once

#include <cstdint>
#include <span>

#include "jpeg.hpp"

namespace prepixel {

struct DecodeOptions {
  Limits limits;
  bool keep_truncated = false;  // true: what is there, the rest zero and counted; false: JpegFault
};

// Read markers up to the first scan. Cheap: no entropy-coded byte is looked at, unless the height is left to DNL.
Header read_header(std::span<const std::uint8_t> file, const Limits& limits);

// Decode every scan of a baseline, extended or progressive Huffman file of 8 bits a sample.
Image decode(std::span<const std::uint8_t> file, const DecodeOptions& options);

}  // namespace prepixel
