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

// Result of decoding a block. Whether the segment held all of its bits, BitReader::overrun() tells.
enum class BlockStatus : std::uint8_t { ok, bad_code, past_band };

// Wrap to 16 bits, as libjpeg stores an overflowing coefficient.
inline std::int16_t to_int16(std::int64_t value) {
  return static_cast<std::int16_t>(static_cast<std::uint16_t>(value));
}

// Tables and state of one component of a sequential scan.
struct SequentialTables {
  std::shared_ptr<const DcTable> dc;
  std::shared_ptr<const AcTable> ac;
  ScanOrderMap scan_order = ScanOrderMap(all_frequencies);
  std::uint32_t dc_predictor = 0;
};

// F.2.2: DC difference, then AC coefficients; `selected`: some frequencies are not kept.
//
// Everything is inlined, so that the window of the bit reader stays in registers.
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
    const std::uint8_t* stored_at = selected ? tables.scan_order.stored_at.data() : zigzag_to_natural.data();
    const BlockStatus status = decode(bits, tables, [&](int k, std::int16_t value) {
      block[stored_at[static_cast<std::size_t>(k)]] = value;
    });
    if (selected) block[tables.scan_order.discarded] = 0;
    return status;
  }

  // Skip a block: only its DC is needed, as the predictor of the next one.
  [[gnu::always_inline]] BlockStatus skip(BitReader& bits, std::size_t component) {
    return decode(bits, components[component], [](int, std::int16_t) {});
  }

 private:
  [[gnu::always_inline]] static BlockStatus decode_dc(BitReader& bits, SequentialTables& tables) {
    bits.refill();
    if (const std::uint32_t entry = tables.dc->entries[bits.peek(DcTable::lookup_length)]; entry != 0) [[likely]] {
      const std::uint64_t rotated = bits.consume_rotated(static_cast<int>(entry & 63));
      // Modulo 2^32: only the lowest 16 bits are stored.
      tables.dc_predictor += static_cast<std::uint32_t>(extend_low(rotated, static_cast<int>(entry >> 8)));
      return BlockStatus::ok;
    }
    const Symbol symbol = tables.dc->code.decode(bits.window());
    if (symbol.length == 0) return BlockStatus::bad_code;
    bits.consume(symbol.length);
    if (symbol.value != 0)
      tables.dc_predictor += static_cast<std::uint32_t>(extend(bits.receive(symbol.value), symbol.value));
    bits.refill();
    return BlockStatus::ok;
  }

  template <class Set>
  [[gnu::always_inline]] static BlockStatus decode(BitReader& bits, SequentialTables& tables, const Set& set) {
    if (const BlockStatus status = decode_dc(bits, tables); status != BlockStatus::ok) return status;
    set(0, to_int16(tables.dc_predictor));
    const AcTable& ac = *tables.ac;
    int k = 1;  // zigzag position at which the next symbol's run of zeros begins
    // 56 bits hold a DC of at most 20 bits and two AC lookups; after the next refill, three.
    for (int lookups = 2;; lookups = 3) {
      do {
        const AcEntry entry = ac.entries[bits.peek(AcTable::lookup_length)];
        const int first_at = k + entry.first_run();
        const int next = k + entry.advance();
        if (next >= 64) {
          if (entry.ends_block() && first_at < 63) {
            set(first_at, static_cast<std::int16_t>(entry.first_value()));
            bits.consume(entry.length());
            return BlockStatus::ok;
          }
          if (const auto end = decode_symbol(bits, ac.code, k, set)) return *end;
          break;
        }
        set(first_at, static_cast<std::int16_t>(entry.first_value()));
        const std::uint64_t rotated = bits.consume_rotated(entry.length());
        set(next - 1, static_cast<std::int16_t>(extend_low(rotated, entry.last_size())));
        k = next;
      } while (--lookups != 0);
      bits.refill();
    }
  }

  // Decode one symbol without the lookup table: codes that are too long for it, and symbols that reach position 63 or
  // exceed it, where the second symbol of an entry may belong to the next block. Empty: the block is not complete.
  template <class Set>
  [[gnu::always_inline]] static std::optional<BlockStatus> decode_symbol(BitReader& bits, const HuffmanCode& code, int& k,
                                                                       const Set& set) {
    bits.refill();
    const Symbol symbol = code.decode(bits.window());
    if (symbol.length == 0) return BlockStatus::bad_code;
    bits.consume(symbol.length);
    const int size = symbol.value & 15;
    const int run = symbol.value >> 4;
    if (size == 0 && run != 15) return BlockStatus::ok;
    k += run + 1;
    if (k > 64) return BlockStatus::past_band;
    if (size != 0) set(k - 1, static_cast<std::int16_t>(extend(bits.receive(size), size)));
    if (k == 64) return BlockStatus::ok;
    return std::nullopt;
  }
};

}  // namespace prepixel
