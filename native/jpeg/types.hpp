// A JPEG as plain structs, without behavior. The terms are those of ITU-T T.81.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "jpeg/frame_geometry.hpp"
#include "jpeg/memory.hpp"

#if !defined(__wasm__)  // 32 bits, but tested: native/wasm
static_assert(sizeof(void*) == 8, "prepixel needs a 64-bit little-endian machine");
#endif
static_assert(std::endian::native == std::endian::little, "prepixel needs a 64-bit little-endian machine");

namespace prepixel {

// damaged: entropy-coded data that contradict T.81, where libjpeg warns, invents coefficients and continues.
enum class Fault : std::uint8_t { malformed, damaged, truncated, unsupported, limit, pack, index };

constexpr std::size_t no_offset = std::numeric_limits<std::size_t>::max();

// What is wrong, where (offset in the file in bytes), and what to do about it.
class JpegFault : public std::runtime_error {
 public:
  JpegFault(Fault fault_kind, std::size_t offset, const std::string& what_is_wrong, std::string what_to_do = {})
      : std::runtime_error(what_is_wrong), kind(fault_kind), byte_offset(offset), hint(std::move(what_to_do)) {}
  Fault kind;
  std::size_t byte_offset;
  std::string hint;
};

// Hints for damaged files: as a whole, and where blocks have been decoded.
namespace hint {
inline const std::string damaged = "The file is damaged; fetch it again or leave it out";
inline const std::string cut_short = "Fetch the file again, or read what is there with on_truncated=\"keep\"";
}  // namespace hint

// unknown: two components, to which neither the standard nor JFIF assigns a meaning.
enum class Color : std::uint8_t { gray, ycbcr, rgb, cmyk, ycck, unknown };
enum class Process : std::uint8_t { baseline, extended, progressive };

struct Limits {
  std::uint64_t max_pixels = 1ull << 28;          // width x height of the frame
  std::uint64_t max_memory_bytes = 1ull << 31;    // peak memory of an image, and of a batch: planes and work space
  int max_scans = 500;                            // progressive files of libjpeg have about 10
};

// Check a memory requirement. JpegFault (limit): `what` takes more bytes than the limits allow.
void check_memory(const char* what, std::uint64_t bytes, const Limits& limits, std::size_t offset = no_offset);

using Block = std::array<std::int16_t, 64>;       // natural order, index 8 * v + u

// Natural index of each zigzag position. Source: ITU-T T.81, Figure A.6.
constexpr std::array<std::uint8_t, 64> zigzag_to_natural = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
    41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
    30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

using Blocks = ZeroedArray<Block>;

// One component's fields of the frame header, and the sizes that follow from them (A.1.1).
struct ComponentHeader : PlaneSize {
  std::uint8_t identifier = 0;
  int sampling_v = 1;
  int sampling_h = 1;
  std::uint8_t table_id = 0;
  std::array<std::uint16_t, 64> quantization{};   // natural order
};

// Rows and columns of blocks, each up to its end. The default is a whole plane.
struct BlockRegion {
  int row_begin = 0;
  int row_end = std::numeric_limits<int>::max();
  int column_begin = 0;
  int column_end = std::numeric_limits<int>::max();

  bool operator==(const BlockRegion&) const = default;

  std::uint64_t num_blocks() const {
    return static_cast<std::uint64_t>(row_end - row_begin) * static_cast<std::uint64_t>(column_end - column_begin);
  }
};

// The part of a region that lies in a plane.
inline BlockRegion clipped(const BlockRegion& region, const PlaneSize& plane) {
  const int row_end = std::clamp(region.row_end, 0, plane.blocks_down);
  const int column_end = std::clamp(region.column_end, 0, plane.blocks_across);
  return {std::clamp(region.row_begin, 0, row_end), row_end, std::clamp(region.column_begin, 0, column_end), column_end};
}

// One component with its plane of blocks_down x blocks_across blocks.
struct Component : ComponentHeader {
  Blocks blocks;                                  // of `held`, row by row
  BlockRegion held;                               // the part of the plane that is in memory
  int ring_rows = 0;                              // not 0: of `held` only so many rows at a time, row r at r % ring_rows

  std::uint64_t held_blocks() const {
    if (ring_rows == 0) return held.num_blocks();
    return static_cast<std::uint64_t>(ring_rows) * static_cast<std::uint64_t>(held.column_end - held.column_begin);
  }
};

struct Header {
  int height = 0;                                 // as stored, before orientation; 0 until DNL if left open
  int width = 0;
  Color color = Color::ycbcr;
  Process process = Process::baseline;
  int precision = 8;
  int orientation = 1;                            // EXIF, 1..8
};

struct Image : Header {
  std::vector<Component> components;
  int restart_interval = 0;
  int num_scans = 0;
  std::uint64_t missing_blocks = 0;               // blocks that a truncated file did not hold
  std::vector<std::string> warnings;
  bool checkpoints_refused = false;               // they are not those of the file, which was decoded without them
};

}  // namespace prepixel
