// Huffman codes and the additional bits behind them, found in one lookup. Source: ITU-T T.81, F.1.2, F.2.2, G.1.2.2.
//
// What bounds a decoder is the chain from one lookup to the next: shift, load, shift. So a lookup of the AC table
// passes up to two symbols. It has to see the first with its additional bits, and the code alone of the second, whose bits are
// cut out of the window beside the chain.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "jpeg/huffman.hpp"

namespace prepixel {

// DC: size and lengths by the code's first bits.
struct DcTable {
  static constexpr int lookup_length = 9;
  static constexpr int most_bits = 20;

  HuffmanCode code;
  // Length of code and additional bits | size << 8; 0: more than a lookup sees or most_bits.
  std::array<std::uint16_t, 1u << lookup_length> entries{};
};

// One AC symbol, or two: how many bits they take, how far they go and what they set. Runs count from the position
// that the lookup begins at; an entry of one symbol has a first run and no first value, so that both of its stores go
// to one place, the right value last.
class AcEntry {
 public:
  // Ends the block, or (length 0) takes the slow path: too far in any block.
  static constexpr int advance_end = 64;

  constexpr AcEntry() = default;
  constexpr AcEntry(int advance, int size, int length)
      : word_(static_cast<std::uint32_t>(length | size << 6 | advance << 14)) {}

  // This symbol behind another one of `run` and `value`, which takes `length` bits in all.
  constexpr AcEntry after(int run, int value, int length) const {
    AcEntry both;
    both.word_ = word_ + (static_cast<std::uint32_t>(length | run << 10 | (run + 1) << 14) |
                          static_cast<std::uint32_t>(value) << 21);
    return both;
  }
  constexpr AcEntry alone(int run) const {
    AcEntry one;
    one.word_ = word_ | static_cast<std::uint32_t>(run) << 10;
    return one;
  }

  // All bits; 0: no code fits in the lookup, or the bits are more than a window promises. At the bottom of the word,
  // which a shift of 64 bits takes modulo 64.
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
  static constexpr int most_bits = 18;  // of an entry: three lookups a refill

  HuffmanCode code;
  std::array<AcEntry, 1u << lookup_length> entries{};
};

// The last `size` of the bits that a lookup passed, as the value they stand for (F.2.2.1, EXTEND); size 0 gives 0.
// `passed` has them at its bottom.
inline int extend_low(std::uint64_t passed, int size) {
  const std::uint64_t all = (std::uint64_t{1} << size) - 1;
  const std::uint64_t low = passed & all;
  return static_cast<int>(low) - static_cast<int>(low > all >> 1 ? 0 : all);
}

// Whose codes end what: a sequential scan's EOB ends its block, a progressive scan's EOBn a run of bands, with n
// additional bits.
enum class EndOfBlock : std::uint8_t { alone, run };

class HuffmanTableCache;

// The last few tables that some decoder made: files of one program or camera share theirs. A decoder borrows one cache
// from the process, so that threads do not wait for each other; it goes back with the lease.
class HuffmanTableLease {
 public:
  HuffmanTableLease();
  ~HuffmanTableLease();
  HuffmanTableLease(const HuffmanTableLease&) = delete;
  HuffmanTableLease& operator=(const HuffmanTableLease&) = delete;

  // Return the table of a code, made now or before. Empty for the reasons of HuffmanCode::make.
  std::shared_ptr<const DcTable> dc(const HuffmanSpec& spec);
  std::shared_ptr<const AcTable> ac(const HuffmanSpec& spec, EndOfBlock end);

 private:
  HuffmanTableCache& cache();

  std::unique_ptr<HuffmanTableCache> cache_;  // empty until a table is asked for
};

// Free the tables of all caches that nobody borrows.
void release_huffman_tables() noexcept;

}  // namespace prepixel
