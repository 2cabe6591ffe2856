// One block of a sequential scan: entropy-coded bits to coefficients. A header, so that everything inlines into the
// loop over MCUs. Source: ITU-T T.81, F.2.2.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "jpeg/bit_reader.hpp"
#include "jpeg/huffman.hpp"
#include "jpeg/types.hpp"
#include "jpeg/huffman_lookup.hpp"
#include "jpeg/frequency_mask.hpp"

namespace prepixel {

// What became of a block; that its bits are there at all, the reader's overrun() tells.
enum class BlockStatus : std::uint8_t { ok, bad_code, past_band };

// Two's complement at 16 bits, as libjpeg stores it: an overflowing coefficient wraps.
inline std::int16_t store(std::int64_t value) { return static_cast<std::int16_t>(static_cast<std::uint16_t>(value)); }

// What one component of a sequential scan is decoded by.
struct SequentialTables {
  std::shared_ptr<const DcTable> dc;
  std::shared_ptr<const AcTable> ac;
  ScanOrderMap places = ScanOrderMap(all_frequencies);
  std::uint32_t dc_predictor = 0;
};

// F.2.2: DC difference, then AC coefficients; `selected`: not all of them are kept.
//
// Everything is inlined, so that the reader's window stays in registers.
template <bool selected>
struct SequentialScan {
  static constexpr bool can_skip = true;
  static constexpr bool has_masks = false;

  std::array<SequentialTables, 4> components;

  void restart() {
    for (SequentialTables& component : components) component.dc_predictor = 0;
  }

  [[gnu::always_inline]] BlockStatus block(BitReader& bits, Block& block, std::size_t component) {
    SequentialTables& tables = components[component];
    const std::uint8_t* place = selected ? tables.places.of.data() : zigzag_to_natural.data();
    const BlockStatus status = decode(bits, tables, [&](int k, std::int16_t value) {
      block[place[static_cast<std::size_t>(k)]] = value;
    });
    if (selected) block[tables.places.dropped] = 0;
    return status;
  }

  // Pass over a block: only its DC counts, for those behind it.
  [[gnu::always_inline]] BlockStatus skip(BitReader& bits, std::size_t component) {
    return decode(bits, components[component], [](int, std::int16_t) {});
  }

 private:
  [[gnu::always_inline]] static BlockStatus decode_dc(BitReader& bits, SequentialTables& tables) {
    bits.refill();
    if (const std::uint32_t entry = tables.dc->entries[bits.peek(DcTable::lookup_length)]; entry != 0) [[likely]] {
      const std::uint64_t passed = bits.pass(static_cast<int>(entry & 63));
      // Modulo 2^16 is all that is stored.
      tables.dc_predictor += static_cast<std::uint32_t>(extend_low(passed, static_cast<int>(entry >> 8)));
      return BlockStatus::ok;
    }
    const Symbol symbol = tables.dc->code.find(bits.window());
    if (symbol.length == 0) return BlockStatus::bad_code;
    bits.consume(symbol.length);
    if (symbol.value != 0)
      tables.dc_predictor += static_cast<std::uint32_t>(extend(bits.take(symbol.value), symbol.value));
    bits.refill();
    return BlockStatus::ok;
  }

  template <class Set>
  [[gnu::always_inline]] static BlockStatus decode(BitReader& bits, SequentialTables& tables, const Set& set) {
    if (const BlockStatus status = decode_dc(bits, tables); status != BlockStatus::ok) return status;
    set(0, store(tables.dc_predictor));
    const AcTable& ac = *tables.ac;
    int k = 1;  // the zigzag position that the next symbol's run counts from
    // 56 bits hold a DC of at most 20 bits and two AC lookups; after the next refill, three.
    for (int lookups = 2;; lookups = 3) {
      do {
        const AcEntry entry = ac.entries[bits.peek(AcTable::lookup_length)];
        const int between = k + entry.first_run();
        const int next = k + entry.advance();
        if (next >= 64) {
          if (entry.ends_block() && between < 63) {
            set(between, static_cast<std::int16_t>(entry.first_value()));
            bits.consume(entry.length());
            return BlockStatus::ok;
          }
          if (const auto end = take_symbol(bits, ac.code, k, set)) return *end;
          break;
        }
        set(between, static_cast<std::int16_t>(entry.first_value()));
        const std::uint64_t passed = bits.pass(entry.length());
        set(next - 1, static_cast<std::int16_t>(extend_low(passed, entry.last_size())));
        k = next;
      } while (--lookups != 0);
      bits.refill();
    }
  }

  // One symbol by its code alone: what no lookup holds, and what reaches position 63 or passes it; a second symbol seen
  // beside it may be another block's. Empty: the block goes on.
  template <class Set>
  [[gnu::always_inline]] static std::optional<BlockStatus> take_symbol(BitReader& bits, const HuffmanCode& code, int& k,
                                                                       const Set& set) {
    bits.refill();
    const Symbol symbol = code.find(bits.window());
    if (symbol.length == 0) return BlockStatus::bad_code;
    bits.consume(symbol.length);
    const int size = symbol.value & 15;
    const int run = symbol.value >> 4;
    if (size == 0 && run != 15) return BlockStatus::ok;
    k += run + 1;
    if (k > 64) return BlockStatus::past_band;
    if (size != 0) set(k - 1, static_cast<std::int16_t>(extend(bits.take(size), size)));
    if (k == 64) return BlockStatus::ok;
    return std::nullopt;
  }
};

}  // namespace prepixel
