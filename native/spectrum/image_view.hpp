// An image's planes of quantized coefficients without owning them: decoded blocks, or a packed image.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "jpeg/types.hpp"

namespace prepixel {

struct PackedImage;
struct ParsedHeader;
struct PackedComponent;

struct PlaneView {
  const std::int16_t* blocks = nullptr;           // row by row, 64 coefficients each
  int blocks_down = 0;
  int blocks_across = 0;
  int height = 0;                                 // true samples
  int width = 0;
  int sampling_v = 1;
  int sampling_h = 1;
  std::array<std::uint16_t, 64> quantization{};
  const PackedComponent* packed = nullptr;        // instead of `blocks`
};

struct ImageView {
  int height = 0;                                 // as stored
  int width = 0;
  int orientation = 1;
  Color color = Color::ycbcr;
  std::vector<PlaneView> planes;
};

ImageView view_of(const Image& image);  // also of an image without blocks
ImageView view_of(const ParsedHeader& header);  // without blocks
ImageView view_of(const PackedImage& packed);

// Return whether a linear map leads from the components to YCbCr; CMYK and YCCK images take the RGB pipeline.
bool is_linear(Color color);

}  // namespace prepixel
