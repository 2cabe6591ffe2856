// One block of each kind of progressive scan: entropy-coded bits to coefficients. Only scan.cpp includes this; it is a
// header so that everything inlines into the loop over blocks. Source: ITU-T T.81, G.1.2 and G.2.
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

// The zigzag bits of a band.
constexpr std::uint64_t band_mask(int start, int end) {
  return (end == 63 ? ~std::uint64_t{0} : (std::uint64_t{1} << (end + 1)) - 1) & ~((std::uint64_t{1} << start) - 1);
}

// G.1.2.1: the first scan of DC, all but its lowest bits.
struct DcFirstScan {
  static constexpr bool can_skip = false;
  static constexpr bool has_masks = false;

  std::array<std::optional<HuffmanCode>, 4> codes;
  int low = 0;
  std::array<std::uint32_t, 4> dc_predictor{};

  void restart() { dc_predictor.fill(0); }

  BlockStatus block(BitReader& bits, Block& block, std::size_t component) {
    bits.refill();
    const Symbol symbol = codes[component]->find(bits.window());
    if (symbol.length == 0) return BlockStatus::bad_code;
    bits.consume(symbol.length);
    std::uint32_t& value = dc_predictor[component];
    if (symbol.value != 0) value += static_cast<std::uint32_t>(extend(bits.take(symbol.value), symbol.value));
    block[0] = store(std::int64_t{value << low});
    return BlockStatus::ok;
  }
};

// G.1.2.1: one more bit of DC.
struct DcRefinementScan {
  static constexpr bool can_skip = false;
  static constexpr bool has_masks = false;

  int low = 0;

  void restart() {}

  BlockStatus block(BitReader& bits, Block& block, std::size_t /*component*/) const {
    bits.refill();
    if (bits.take(1) != 0) block[0] = store(block[0] | 1 << low);
    return BlockStatus::ok;
  }
};

// AC scans know of each block which AC coefficients are not zero, bit k for zigzag position k, so that what refines them
// need not look at the zeros. The mask is passed beside the block: an AC scan holds one component (G.1.1.1.1).

// G.1.2.2: the first scan of a band of AC, all but its lowest bits.
struct AcFirstScan {
  static constexpr bool can_skip = false;
  static constexpr bool has_masks = true;

  std::shared_ptr<const AcTable> table;
  int start, end, low;
  std::uint32_t eob_run = 0;

  void restart() { eob_run = 0; }

  [[gnu::always_inline]] BlockStatus block(BitReader& reader, Block& block, std::uint64_t& nonzero) {
    if (eob_run != 0) {
      --eob_run;
      return BlockStatus::ok;
    }
    BitReader bits = reader;
    std::uint64_t known = nonzero;
    const BlockStatus status = decode(bits, block, known);
    nonzero = known;
    reader = bits;
    return status;
  }

  [[gnu::always_inline]] void set(Block& block, std::uint64_t& known, int k, int value) const {
    const std::int16_t stored = store(std::int64_t{value} * (1 << low));
    block[zigzag_to_natural[static_cast<std::size_t>(k)]] = stored;
    known |= static_cast<std::uint64_t>(stored != 0) << k;
  }

  [[gnu::always_inline]] BlockStatus decode(BitReader& bits, Block& block, std::uint64_t& known) {
    for (int k = start;;) {
      bits.refill();
      for (int lookups = 3; lookups != 0; --lookups) {
        const AcEntry entry = table->entries[bits.peek(AcTable::lookup_length)];
        const int between = k + entry.first_run();
        const int next = k + entry.advance();
        if (next > end) {
          if (entry.ends_block() && between < end) {
            set(block, known, between, entry.first_value());
            const std::uint64_t passed = bits.pass(entry.length());
            const std::uint32_t length = 1u << entry.last_size();
            eob_run = length - 1 + (static_cast<std::uint32_t>(passed) & (length - 1));
            return BlockStatus::ok;
          }
          if (const auto status = take_symbol(bits, block, known, k)) return *status;
          break;
        }
        set(block, known, between, entry.first_value());
        const std::uint64_t passed = bits.pass(entry.length());
        set(block, known, next - 1, extend_low(passed, entry.last_size()));
        k = next;
      }
    }
  }

  // As SequentialScan::take_symbol.
  [[gnu::always_inline]] std::optional<BlockStatus> take_symbol(BitReader& bits, Block& block, std::uint64_t& known,
                                                                int& k) {
    bits.refill();
    const Symbol symbol = table->code.find(bits.window());
    if (symbol.length == 0) return BlockStatus::bad_code;
    bits.consume(symbol.length);
    const int size = symbol.value & 15;
    const int run = symbol.value >> 4;
    if (size == 0 && run != 15) {
      eob_run = (1u << run) - 1;
      if (run != 0) eob_run += bits.take(run);
      return BlockStatus::ok;
    }
    k += run + 1;
    if (k > end + 1) return BlockStatus::past_band;
    if (size != 0) set(block, known, k - 1, extend(bits.take(size), size));
    if (k > end) return BlockStatus::ok;
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

  void restart() { state.eob_run = 0; }

  BlockStatus block(BitReader& reader, Block& block, std::uint64_t& nonzero) {
    if (state.eob_run != 0 && (nonzero & state.band) == 0) {
      --state.eob_run;
      return BlockStatus::ok;
    }
    return refine(state, code, reader, block, nonzero);
  }
};

}  // namespace prepixel
