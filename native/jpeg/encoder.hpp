// Coefficient planes to a sequential Huffman JPEG with optimal tables. Source: ITU-T T.81, Annexes A.2, B, F.1.2, K.2.
//
// Baseline (SOF0) where it can be; extended (SOF1) where a quantization step is above 255, or a coefficient is beyond what
// 8-bit samples give (a DC difference above 2047, an AC coefficient above 1023). Components share one scan where an MCU
// of theirs has at most ten blocks, or else have a scan each. Which components share a Huffman table is chosen so that
// the file is smallest; there are at most two tables of each class, as baseline wants it.
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

// One component's plane; the memory belongs to somebody else.
struct EncoderPlane {
  std::uint8_t identifier = 0;
  int sampling_v = 1;
  int sampling_h = 1;
  int blocks_down = 0;
  int blocks_across = 0;
  const std::int16_t* quantized = nullptr;               // 64 a block, natural order
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
  std::vector<KeptSegment> segments;                     // in this order, behind those that encode adds
};

// The file. What readers need to take its components for `color`, and its orientation, is added where `segments` do not
// say it: JFIF for gray and YCbCr, Adobe for others, an Exif segment of that one tag. Components whose identifiers are not
// all different are numbered from 1.
//
// JpegFault (malformed, no offset): the planes do not fit the image, a number is outside what T.81 can say, or `segments`
// contradict color or orientation.
// JpegFault (limit): the symbols and the file take more memory than `limits` allow.
Bytes encode(const EncoderInput& image, const Limits& limits);

}  // namespace prepixel
