// One block of a sequential scan: entropy-coded bits to coefficients. A header, so that everything inlines into the loop
// over MCUs. Source: ITU-T T.81, F.2.2.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "bit_reader.hpp"
#include "huffman.hpp"
#include "jpeg.hpp"
#include "lookup_tables.hpp"

namespace prepixel {

// What became of a block; that its bits are there at all, the reader's overrun() tells.
enum class BlockStatus : std::uint8_t { ok, bad_code, past_band };

// Position k - 1 in zigzag order, natural index: the lookups count past the coefficient they set.
constexpr std::array<std::uint8_t, 65> natural_before = [] {
  std::array<std::uint8_t, 65> table{};
  for (std::size_t k = 1; k <= 64; ++k) table[k] = zigzag_to_natural[k - 1];
  return table;
}();

// Two's complement at 16 bits, as libjpeg stores it: an overflowing coefficient wraps.
inline std::int16_t store(std::int64_t value) { return static_cast<std::int16_t>(static_cast<std::uint16_t>(value)); }

// F.2.2: DC difference, then AC coefficients.
struct SequentialScan {
  std::array<std::shared_ptr<const DcTable>, 4> dc;
  std::array<std::shared_ptr<const AcTable>, 4> ac;
  std::array<std::uint32_t, 4> prediction{};

  void restart() { prediction.fill(0); }

  [[gnu::always_inline]] BlockStatus block(BitReader& reader, Block& block, std::size_t component) {
    BitReader bits = reader;
    const BlockStatus status = decode(bits, block.data(), *dc[component], *ac[component], prediction[component]);
    reader = bits;
    return status;
  }

  // Inlined, so that the reader's window stays in registers.
  [[gnu::always_inline]] static BlockStatus decode(BitReader& bits, std::int16_t* block, const DcTable& dc,
                                                   const AcTable& ac, std::uint32_t& prediction) {
    bits.refill();
    int lookups = 2;  // 56 bits hold one DC of at most 20 bits and two AC lookups
    if (const std::uint32_t entry = dc.entries[bits.peek(DcTable::lookup_length)]; entry != 0) [[likely]] {
      const std::uint64_t passed = bits.pass(static_cast<int>(entry & 63));
      prediction += static_cast<std::uint32_t>(extend_low(passed, static_cast<int>(entry >> 8)));  // modulo 2^16
    } else {
      const Symbol symbol = dc.code.find(bits.window());
      if (symbol.length == 0) return BlockStatus::bad_code;
      bits.consume(symbol.length);
      if (symbol.value != 0) prediction += static_cast<std::uint32_t>(extend(bits.take(symbol.value), symbol.value));
      bits.refill();
    }
    block[0] = store(prediction);

    int k = 1;  // the zigzag position that the next symbol's run counts from
    for (;; lookups = 3) {
      do {
        const AcEntry entry = ac.entries[bits.peek(AcTable::lookup_length)];
        const int between = k + entry.first_run();
        const int next = k + entry.advance();
        if (next >= 64) {
          if (entry.ends_block() && between < 63) {
            block[zigzag_to_natural[static_cast<std::size_t>(between)]] = static_cast<std::int16_t>(entry.first_value());
            bits.consume(entry.length());
            return BlockStatus::ok;
          }
          if (const auto end = take_symbol(bits, block, ac.code, k)) return *end;
          break;
        }
        block[zigzag_to_natural[static_cast<std::size_t>(between)]] = static_cast<std::int16_t>(entry.first_value());
        const std::uint64_t passed = bits.pass(entry.length());
        block[natural_before[static_cast<std::size_t>(next)]] =
            static_cast<std::int16_t>(extend_low(passed, entry.last_size()));
        k = next;
      } while (--lookups != 0);
      bits.refill();
    }
  }

  // One symbol by its code alone: what no lookup holds, and what reaches position 63 or passes it; a second symbol seen
  // beside it may be another block's. Empty: the block goes on.
  [[gnu::always_inline]] static std::optional<BlockStatus> take_symbol(BitReader& bits, std::int16_t* block,
                                                                       const HuffmanCode& code, int& k) {
    bits.refill();
    const Symbol symbol = code.find(bits.window());
    if (symbol.length == 0) return BlockStatus::bad_code;
    bits.consume(symbol.length);
    const int size = symbol.value & 15;
    const int run = symbol.value >> 4;
    if (size == 0 && run != 15) return BlockStatus::ok;
    k += run + 1;
    if (k > 64) return BlockStatus::past_band;
    if (size != 0)
      block[natural_before[static_cast<std::size_t>(k)]] = static_cast<std::int16_t>(extend(bits.take(size), size));
    if (k == 64) return BlockStatus::ok;
    return std::nullopt;
  }
};

}  // namespace prepixel
