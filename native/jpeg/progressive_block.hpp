// One block of each kind of progressive scan: entropy-coded bits to coefficients. Only scan_decoder.cpp includes
// this; it is a header so that everything inlines into the loop over blocks. Source: ITU-T T.81, G.1.2 and G.2.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "jpeg/bit_reader.hpp"
#include "jpeg/sequential_block.hpp"
#include "jpeg/huffman.hpp"
#include "jpeg/types.hpp"
#include "jpeg/huffman_lookup.hpp"
#include "jpeg/refinement.hpp"

namespace prepixel {

// The zigzag positions Ss to Se of a band, one bit each.
constexpr std::uint64_t band_mask(int ss, int se) {
  return (se == 63 ? ~std::uint64_t{0} : (std::uint64_t{1} << (se + 1)) - 1) & ~((std::uint64_t{1} << ss) - 1);
}

// G.1.2.1: the first scan of DC, all but its Al lowest bits.
struct DcFirstScan {
  static constexpr bool can_skip = false;
  static constexpr bool has_masks = false;

  std::array<std::optional<HuffmanCode>, 4> codes;
  int al = 0;
  std::array<std::uint32_t, 4> dc_predictor{};

  void restart() { dc_predictor.fill(0); }

  BlockStatus block(BitReader& bits, Block& block, std::size_t component) {
    bits.refill();
    const Symbol symbol = codes[component]->decode(bits.window());
    if (symbol.length == 0) return BlockStatus::bad_code;
    bits.consume(symbol.length);
    std::uint32_t& value = dc_predictor[component];
    if (symbol.value != 0) value += static_cast<std::uint32_t>(extend(bits.receive(symbol.value), symbol.value));
    block[0] = to_int16(std::int64_t{value << al});
    return BlockStatus::ok;
  }
};

// G.1.2.1: one more bit of DC.
struct DcRefinementScan {
  static constexpr bool can_skip = false;
  static constexpr bool has_masks = false;

  int al = 0;

  void restart() {}

  BlockStatus block(BitReader& bits, Block& block, std::size_t /*component*/) const {
    bits.refill();
    if (bits.receive(1) != 0) block[0] = to_int16(block[0] | 1 << al);
    return BlockStatus::ok;
  }
};

// AC scans keep a mask of the nonzero AC coefficients of each block (bit k: zigzag position k), so that refinement
// scans skip the zeros. The mask is passed with the block: an AC scan holds one component (G.1.1.1.1).

// G.1.2.2: the first scan of a band of AC, all but its Al lowest bits.
struct AcFirstScan {
  static constexpr bool can_skip = false;
  static constexpr bool has_masks = true;

  std::shared_ptr<const AcTable> table;
  int ss, se, al;
  std::uint32_t eobrun = 0;

  void restart() { eobrun = 0; }

  [[gnu::always_inline]] BlockStatus block(BitReader& reader, Block& block, std::uint64_t& nonzero) {
    if (eobrun != 0) {
      --eobrun;
      return BlockStatus::ok;
    }
    BitReader bits = reader;
    std::uint64_t mask = nonzero;
    const BlockStatus status = decode(bits, block, mask);
    nonzero = mask;
    reader = bits;
    return status;
  }

  [[gnu::always_inline]] void set(Block& block, std::uint64_t& mask, int k, int value) const {
    const std::int16_t stored = to_int16(std::int64_t{value} * (1 << al));
    block[zigzag_to_natural[static_cast<std::size_t>(k)]] = stored;
    mask |= static_cast<std::uint64_t>(stored != 0) << k;
  }

  [[gnu::always_inline]] BlockStatus decode(BitReader& bits, Block& block, std::uint64_t& mask) {
    for (int k = ss;;) {
      bits.refill();
      for (int lookups = 3; lookups != 0; --lookups) {
        const AcEntry entry = table->entries[bits.peek(AcTable::lookup_length)];
        const int first_at = k + entry.first_run();
        const int next = k + entry.advance();
        if (next > se) {
          if (entry.ends_block() && first_at < se) {
            set(block, mask, first_at, entry.first_value());
            const std::uint64_t rotated = bits.consume_rotated(entry.length());
            const std::uint32_t length = 1u << entry.last_size();
            eobrun = length - 1 + (static_cast<std::uint32_t>(rotated) & (length - 1));
            return BlockStatus::ok;
          }
          if (const auto status = decode_symbol(bits, block, mask, k)) return *status;
          break;
        }
        set(block, mask, first_at, entry.first_value());
        const std::uint64_t rotated = bits.consume_rotated(entry.length());
        set(block, mask, next - 1, extend_low(rotated, entry.last_size()));
        k = next;
      }
    }
  }

  // As SequentialScan::decode_symbol.
  [[gnu::always_inline]] std::optional<BlockStatus> decode_symbol(BitReader& bits, Block& block, std::uint64_t& mask,
                                                                int& k) {
    bits.refill();
    const Symbol symbol = table->code.decode(bits.window());
    if (symbol.length == 0) return BlockStatus::bad_code;
    bits.consume(symbol.length);
    const int size = symbol.value & 15;
    const int run = symbol.value >> 4;
    if (size == 0 && run != 15) {
      eobrun = (1u << run) - 1;
      if (run != 0) eobrun += bits.receive(run);
      return BlockStatus::ok;
    }
    k += run + 1;
    if (k > se + 1) return BlockStatus::past_band;
    if (size != 0) set(block, mask, k - 1, extend(bits.receive(size), size));
    if (k > se) return BlockStatus::ok;
    return std::nullopt;
  }
};

// G.1.2.3: one more bit of a band of AC.
struct AcRefinementScan {
  static constexpr bool can_skip = false;
  static constexpr bool has_masks = true;

  HuffmanCode code;
  Refinement state;
  RefineBlock refine = best_refine_block();

  void restart() { state.eobrun = 0; }

  BlockStatus block(BitReader& reader, Block& block, std::uint64_t& nonzero) {
    if (state.eobrun != 0 && (nonzero & state.band) == 0) {
      --state.eobrun;
      return BlockStatus::ok;
    }
    return refine(state, code, reader, block, nonzero);
  }
};

}  // namespace prepixel
