// Encode coefficient planes as a sequential Huffman JPEG with optimal tables. Source: ITU-T T.81, Annexes A.2, B,
// F.1.2, K.2.
//
// Baseline (SOF0) if possible; extended (SOF1) if a quantization step is above 255, or a coefficient is out of the
// range of 8-bit samples (a DC difference above 2047, an AC coefficient above 1023). Components share one scan if their
// MCU has at most ten blocks; otherwise each has its own. At most two Huffman tables of each class, as baseline
// requires; which components share one is chosen so that the file is smallest.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "jpeg/types.hpp"

namespace prepixel {

using Bytes = std::vector<std::uint8_t>;

// An APPn or COM segment; contents without marker and length.
struct KeptSegment {
  std::uint8_t code = 0;
  std::span<const std::uint8_t> contents;
};

// One component's plane; it does not own its memory.
struct EncoderPlane {
  std::uint8_t identifier = 0;
  int sampling_v = 1;
  int sampling_h = 1;
  int blocks_down = 0;
  int blocks_across = 0;
  const std::int16_t* quantized = nullptr;               // 64 per block, natural order
  std::array<std::uint16_t, 64> quantization{};          // natural order
  std::uint64_t kept = ~std::uint64_t{0};                // natural order, bit 8 v + u; other coefficients are coded as 0
};

struct EncoderInput {
  int height = 0;
  int width = 0;
  Color color = Color::ycbcr;
  int orientation = 1;
  std::vector<EncoderPlane> planes;
  int restart_interval = 0;                              // MCUs; 0: no restart markers
  int restart_rows = 0;                                  // instead of it: rows of MCUs
  std::vector<KeptSegment> segments;                     // in this order, after those that encode adds
};

// Return the file. Segments that define color and orientation are added if `segments` do not: JFIF for gray and YCbCr,
// Adobe for others, an Exif segment with the orientation. Components are numbered from 1 if identifiers are not unique.
//
// JpegFault (malformed, no offset): the planes do not fit the image, a number is out of the range of T.81, or
// `segments` contradict color or orientation. JpegFault (limit): the symbols and the file take more memory than `limits` allow.
Bytes encode(const EncoderInput& image, const Limits& limits);

}  // namespace prepixel
