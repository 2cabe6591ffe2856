// Read the bits of an entropy-coded segment. Source: ITU-T T.81, B.1.1.5 (stuffing), F.2.2.4 (RECEIVE), F.2.2.5
// (NEXTBIT).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <span>

namespace prepixel {

// One entropy-coded segment without its stuffed zero bytes.
struct EntropySegment {
  const std::uint8_t* data = nullptr;  // followed by `segment_padding` zero bytes
  std::size_t size = 0;
  std::size_t file_begin = 0;
  std::size_t file_end = 0;      // of the 0xFF of the marker that ends it, or the file's size
  std::uint8_t marker = 0;       // the marker that ends it; 0: end of file
  std::size_t after_marker = 0;  // offset behind that marker
};

// More bytes than one block can consume (64 codes of 16 bits, each with 15 additional bits), so that one check per
// block detects the end of the data and no load reads past the buffer.
constexpr std::size_t segment_padding = 512;

// Copies one segment at a time from a file to a buffer, which the next segment overwrites.
class SegmentReader {
 public:
  explicit SegmentReader(std::span<const std::uint8_t> file) : file_(file) {}

  // Read the segment that begins at `offset` and ends at the next marker, or at `limit` as if the file ended there.
  EntropySegment read(std::size_t offset, std::size_t limit = std::numeric_limits<std::size_t>::max());

  // Return the offset in the file of the segment's byte `index`.
  std::size_t file_offset(const EntropySegment& segment, std::size_t index) const;

  // The offset of the byte that stands `count` bytes of the same segment behind that at `offset`.
  std::size_t advance(std::size_t offset, std::size_t count) const;

  // The offset behind the byte at `offset`, which a stuffed zero may follow; the file's size where there is no byte.
  std::size_t behind_byte(std::size_t offset) const;

  std::span<const std::uint8_t> file() const { return file_; }

 private:
  std::span<const std::uint8_t> file_;
  std::unique_ptr<std::uint8_t[]> buffer_;
  std::size_t capacity_ = 0;
};

// Reverse the bytes of a word. Compilers recognize it as one instruction.
constexpr std::uint64_t byte_swap(std::uint64_t word) {
  word = (word >> 8 & 0x00FF00FF00FF00FF) | (word & 0x00FF00FF00FF00FF) << 8;
  word = (word >> 16 & 0x0000FFFF0000FFFF) | (word & 0x0000FFFF0000FFFF) << 16;
  return word >> 32 | word << 32;
}

// A window on the bits, the next one on top. It holds at least 56 bits after each refill.
class BitReader {
 public:
  explicit BitReader(const EntropySegment& segment)
      : next_(segment.data), end_(segment.data + segment.size), begin_(segment.data) {}

  // The window may hold the first bytes at `next_` already, below the counted bits; loading them again changes nothing.
  void refill() {
    window_ |= load(next_) >> count_;
    next_ += (63 - count_) >> 3;
    count_ |= 56;
  }

  // Refill if the window holds fewer than `length` bits.
  void ensure(int length) {
    if (count_ < length) refill();
  }

  std::uint64_t window() const { return window_; }
  std::uint32_t peek(int length) const { return static_cast<std::uint32_t>(window_ >> (64 - length)); }  // length 1..32
  void consume(int length) {
    window_ <<= length;
    count_ -= length;
  }
  // Consume `length` bits, 1..63, and return the window rotated so that they are its lowest.
  std::uint64_t consume_rotated(int length) {
    const std::uint64_t rotated = std::rotl(window_, length);
    consume(length);
    return rotated;
  }
  // F.2.2.4: the next `length` bits, 1..32.
  std::uint32_t receive(int length) {
    const std::uint32_t value = peek(length);
    consume(length);
    return value;
  }

  // Return whether more bits were consumed than the segment holds.
  bool overrun() const { return std::int64_t{next_ - end_} * 8 > count_; }

  std::uint64_t consumed_bits() const { return static_cast<std::uint64_t>(std::int64_t{next_ - begin_} * 8 - count_); }

  // Return the whole bytes that were not consumed; the 1-bits that pad the last byte do not count.
  std::size_t unread_bytes() const {
    const std::int64_t bits = std::int64_t{end_ - next_} * 8 + count_;
    return bits > 0 ? static_cast<std::size_t>(bits / 8) : 0;
  }

 private:
  static std::uint64_t load(const std::uint8_t* bytes) {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes, sizeof value);
    return std::endian::native == std::endian::little ? byte_swap(value) : value;
  }

  std::uint64_t window_ = 0;
  int count_ = 0;
  const std::uint8_t* next_;
  const std::uint8_t* end_;
  const std::uint8_t* begin_;
};

}  // namespace prepixel
