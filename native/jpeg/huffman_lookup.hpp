// Lookup tables for Huffman codes with their additional bits. Source: ITU-T T.81, F.1.2, F.2.2, G.1.2.2.
//
// The dependency chain from one lookup to the next (shift, load, shift) bounds the speed of a decoder. So one lookup in
// the AC table decodes up to two symbols: the first must fit in the lookup with its additional bits, the second with
// its code only; its additional bits are extracted from the window off the critical path.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "jpeg/huffman.hpp"

namespace prepixel {

// DC: category and lengths by the first bits of the code.
struct DcTable {
  static constexpr int lookup_length = 9;
  static constexpr int most_bits = 20;

  HuffmanCode code;
  // Length of code and additional bits | size << 8; 0: a code longer than lookup_length, or more than most_bits in all.
  std::array<std::uint16_t, 1u << lookup_length> entries{};
};

// One or two AC symbols: their length in bits, by how many zigzag positions they advance, and the first value. An entry
// of one symbol has a first run and the first value 0, so that both stores of the decoder go to one position, the value
// last.
class AcEntry {
 public:
  // Sentinel past the last coefficient: end of block or, if the length is 0, take the slow path.
  static constexpr int advance_end = 64;

  constexpr AcEntry() = default;
  constexpr AcEntry(int advance, int size, int length)
      : word_(static_cast<std::uint32_t>(length | size << 6 | advance << 14)) {}

  // Return an entry of two symbols: a first one of `run`, `value` and `length` bits in all, and this one after it.
  constexpr AcEntry with_first(int run, int value, int length) const {
    AcEntry both;
    both.word_ = word_ + (static_cast<std::uint32_t>(length | run << 10 | (run + 1) << 14) |
                          static_cast<std::uint32_t>(value) << 21);
    return both;
  }
  // Return an entry of this symbol only, of `run`.
  constexpr AcEntry as_single(int run) const {
    AcEntry one;
    one.word_ = word_ | static_cast<std::uint32_t>(run) << 10;
    return one;
  }

  // All bits; 0: no code fits in the lookup, or the bits are more than a refill guarantees. It is the lowest field of
  // the word because shifts of 64-bit words take their count modulo 64.
  int length() const { return static_cast<int>(word_ & 63); }
  int last_size() const { return static_cast<int>(word_ >> 6 & 15); }  // additional bits of the last symbol
  int first_run() const { return static_cast<int>(word_ >> 10 & 15); }
  int advance() const { return static_cast<int>(word_ >> 14 & 127); }
  bool ends_block() const { return advance() >= advance_end && length() != 0; }
  int first_value() const { return static_cast<int>(word_) >> 21; }

 private:
  std::uint32_t word_ = static_cast<std::uint32_t>(advance_end) << 14;
};

struct AcTable {
  static constexpr int lookup_length = 11;
  static constexpr int most_bits = 18;  // of an entry, so that one refill is enough for three lookups

  HuffmanCode code;
  std::array<AcEntry, 1u << lookup_length> entries{};
};

// EXTEND (F.2.2.1) of the lowest `size` bits of `rotated`; 0 if size is 0.
inline int extend_low(std::uint64_t rotated, int size) {
  const std::uint64_t all = (std::uint64_t{1} << size) - 1;
  const std::uint64_t low = rotated & all;
  return static_cast<int>(low) - static_cast<int>(low > all >> 1 ? 0 : all);
}

// The end-of-block symbols of a scan: EOB of sequential scans ends one block; EOBn of progressive scans (G.1.2.2)
// begins a run of blocks and has n additional bits.
enum class EndOfBlock : std::uint8_t { eob, eobn };

class HuffmanTableCache;

// Cache of the last few tables: files of one program or camera share theirs. A decoder borrows a cache from the process
// while the lease lives, so that threads do not wait for each other.
class HuffmanTableLease {
 public:
  HuffmanTableLease();
  ~HuffmanTableLease();
  HuffmanTableLease(const HuffmanTableLease&) = delete;
  HuffmanTableLease& operator=(const HuffmanTableLease&) = delete;

  // Return the table of a code, from the cache or new. Empty for the reasons of HuffmanCode::make.
  std::shared_ptr<const DcTable> dc(const HuffmanSpec& spec);
  std::shared_ptr<const AcTable> ac(const HuffmanSpec& spec, EndOfBlock end);

 private:
  HuffmanTableCache& cache();

  std::unique_ptr<HuffmanTableCache> cache_;  // empty until the first table is requested
};

// Free the tables of all caches that are not borrowed.
void release_huffman_tables() noexcept;

}  // namespace prepixel
