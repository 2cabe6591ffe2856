// Writing packed images.
#pragma once

#include <array>
#include <cstdint>

#include "jpeg/encoder.hpp"
#include "jpeg/types.hpp"

namespace prepixel {

struct PackParts {
  Bytes header;
  Bytes payload;
};

// Pack chosen frequencies (of Y, Cb, Cr; other colors as in bandlimit.hpp), and read the pack back to verify it.
// JpegFault (limit): the planes, the pack and the planes read back take more than `limits` allow.
// std::logic_error: it does not read back.
PackParts pack(const Image& image, const std::array<std::uint64_t, 3>& kept, const Limits& limits);

}  // namespace prepixel
