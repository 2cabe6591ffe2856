// A packed image: the chosen quantized coefficients of a JPEG, frequency by frequency. docs/formats/packed-images.md
// describes every byte. Compression is the caller's: a pack is a header, and a payload that lies uncompressed before us.
//
// Input is hostile: sizes are checked before memory is allocated, every plane lies inside the payload, every escape inside
// its plane. A JpegFault of the kind `pack` says what is wrong; its offset counts from the file's start, in the header.
// The buffers may be changed by another thread meanwhile: the header is copied before it is parsed, and whatever the
// payload's bytes become after they were checked, no read or write leaves a buffer.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "jpeg/types.hpp"

namespace prepixel {

// How a frequency's plane is coded; the numbers are the format's.
enum class Coding : std::uint8_t {
  zero,           // nothing: all are zero
  bytes,          // int8
  escaped,        // int8; those that do not fit are 0 and listed behind
  delta_escaped,  // the same, of differences from the left neighbor in the row
  wide,           // differences as int16: all low bytes, then all high bytes
  sparse,         // a bit a block, then the int8 of those that are set, then what does not fit
};

constexpr std::size_t pack_envelope_bytes = 24;   // magic, compression, sizes and checksum: in front of what is summed
constexpr std::size_t pack_fixed_bytes = 40;      // in front of the first component

struct PackedPlane {
  Coding coding = Coding::zero;
  std::uint32_t num_escapes = 0;
  std::uint32_t num_values = 0;                   // sparse: how many bits are set
  const std::uint8_t* values = nullptr;           // sparse: the bits, each row of blocks in whole bytes
  const std::uint8_t* escapes = nullptr;          // (position u32, value i16) each, positions ascending
};

struct PackedComponent {
  ComponentHeader header;
  std::uint64_t kept = 0;                         // natural order, bit 8 v + u
  std::array<PackedPlane, 64> planes;
};

struct PackedImage {
  Header header;
  std::vector<PackedComponent> components;
  std::uint64_t payload_bytes = 0;
  std::size_t header_bytes = 0;

  // Bytes of the planes that are not all zero, as values of 16 bits.
  std::uint64_t value_bytes() const;
};

bool begins_like_pack(std::span<const std::uint8_t> bytes);

// Read the header alone; planes have no values yet. `bytes` may go on behind it.
PackedImage read_pack_header(std::span<const std::uint8_t> bytes, const Limits& limits);

// Read a whole pack, whose parts must outlive the result. `verify` false leaves the checksum out: for tests that look
// behind it.
PackedImage read_pack(std::span<const std::uint8_t> header, std::span<const std::uint8_t> payload, const Limits& limits,
                 bool verify = true);

// Reads rows of a plane, fastest in ascending order.
class PlaneReader {
 public:
  PlaneReader(const PackedComponent& component, int frequency);

  // Write the values of one row of blocks, `blocks_across` of them, to `out`, `step` elements apart.
  void read_row(int row, std::int16_t* out, std::size_t step);
  // Write those of a part of the row, side by side; `spare` has room for the whole row.
  void read_part(int row, int begin, int count, std::int16_t* out, std::int16_t* spare);

 private:
  bool has_differences() const { return plane_.coding == Coding::delta_escaped || plane_.coding == Coding::wide; }
  void put_escapes(std::size_t begin, std::size_t count, std::int16_t* out, std::size_t step) const;

  const std::int8_t* expand(int row);

  PackedPlane plane_;
  std::size_t across_;
  std::size_t down_;
  std::vector<std::int8_t> expanded_;             // sparse: a row
  int next_row_ = 0;                              // whose values begin at
  std::size_t next_value_ = 0;
};

// Return the planes as a decoder would, frequencies that are left out zero.
Image unpack(const PackedImage& packed);

}  // namespace prepixel
