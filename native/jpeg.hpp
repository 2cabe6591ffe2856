// What the core knows of a JPEG: plain structs, no behaviour. Words are those of ITU-T T.81.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

namespace prepixel {

enum class Fault : std::uint8_t { malformed, truncated, unsupported, limit };

constexpr std::size_t no_offset = std::numeric_limits<std::size_t>::max();

// What is wrong, where (bytes from the start of the file), and what to do about it.
class JpegFault : public std::runtime_error {
 public:
  JpegFault(Fault fault_kind, std::size_t offset, const std::string& what_is_wrong, std::string what_to_do = {})
      : std::runtime_error(what_is_wrong), kind(fault_kind), byte_offset(offset), remedy(std::move(what_to_do)) {}
  Fault kind;
  std::size_t byte_offset;
  std::string remedy;
};

enum class Colour : std::uint8_t { grey, ycbcr, rgb, cmyk, ycck };
enum class Process : std::uint8_t { baseline, extended, progressive };

struct Limits {
  std::uint64_t max_pixels = 1ull << 28;          // width x height of the frame
  std::uint64_t max_memory_bytes = 1ull << 31;    // all coefficient planes together
  int max_scans = 500;                            // a progressive file of libjpeg's own has about 10
};

using Block = std::array<std::int16_t, 64>;       // natural order, index 8 * v + u

// One component's plane: blocks_down x blocks_across blocks, ceil of true samples / 8 (A.1.1).
struct Component {
  std::uint8_t identifier = 0;
  int sampling_v = 1;
  int sampling_h = 1;
  int height = 0;                                 // true samples down
  int width = 0;                                  // true samples across
  int blocks_down = 0;
  int blocks_across = 0;
  std::uint8_t table_id = 0;
  std::array<std::uint16_t, 64> quantization{};   // natural order
  std::vector<Block> blocks;                      // row by row
};

struct Header {
  int height = 0;                                 // as stored, before orientation; 0 until DNL where the frame says so
  int width = 0;
  Colour colour = Colour::ycbcr;
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
};

}  // namespace prepixel
