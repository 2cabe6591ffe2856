// One block of each kind of scan: entropy-coded bits to coefficients. Only scan.cpp includes this; it is a header so
// that everything inlines into the loop over MCUs. Source: ITU-T T.81, F.2.2 (sequential), G.1.2 and G.2 (progressive).
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

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

// The zigzag bits of a band.
constexpr std::uint64_t band_mask(int start, int end) {
  return (end == 63 ? ~std::uint64_t{0} : (std::uint64_t{1} << (end + 1)) - 1) & ~((std::uint64_t{1} << start) - 1);
}

// For each row of a block: the zigzag bits of its nonzero columns.
constexpr std::array<std::array<std::uint64_t, 256>, 8> row_in_zigzag = [] {
  std::array<std::array<std::uint64_t, 256>, 8> table{};
  for (std::size_t k = 0; k < 64; ++k) {
    const std::size_t row = zigzag_to_natural[k] / 8;
    const std::size_t column = zigzag_to_natural[k] % 8;
    for (std::size_t columns = 0; columns < 256; ++columns) {
      if (columns >> column & 1) table[row][columns] |= std::uint64_t{1} << k;
    }
  }
  return table;
}();

// Which coefficients are not zero, bit k for zigzag position k.
inline std::uint64_t nonzero_in_zigzag(const Block& block) {
  std::uint64_t result = 0;
  for (std::size_t row = 0; row < 8; ++row) {
    const std::int16_t* values = block.data() + 8 * row;
#ifdef __SSE2__
    const __m128i loaded = _mm_loadu_si128(reinterpret_cast<const __m128i*>(values));
    const __m128i zeros = _mm_cmpeq_epi16(loaded, _mm_setzero_si128());
    const auto columns = static_cast<std::size_t>(~_mm_movemask_epi8(_mm_packs_epi16(zeros, zeros)) & 255);
#else
    std::size_t columns = 0;
    for (std::size_t column = 0; column < 8; ++column) columns |= std::size_t{values[column] != 0} << column;
#endif
    result |= row_in_zigzag[row][columns];
  }
  return result;
}

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

// G.1.2.1: the first scan of DC, all but its lowest bits.
struct DcFirstScan {
  std::array<std::optional<HuffmanCode>, 4> codes;
  int low = 0;
  std::array<std::uint32_t, 4> prediction{};

  void restart() { prediction.fill(0); }

  BlockStatus block(BitReader& bits, Block& block, std::size_t component) {
    bits.refill();
    const Symbol symbol = codes[component]->find(bits.window());
    if (symbol.length == 0) return BlockStatus::bad_code;
    bits.consume(symbol.length);
    std::uint32_t& value = prediction[component];
    if (symbol.value != 0) value += static_cast<std::uint32_t>(extend(bits.take(symbol.value), symbol.value));
    block[0] = store(std::int64_t{value << low});
    return BlockStatus::ok;
  }
};

// G.1.2.1: one more bit of DC.
struct DcRefinementScan {
  int low = 0;

  void restart() {}

  BlockStatus block(BitReader& bits, Block& block, std::size_t /*component*/) const {
    bits.refill();
    if (bits.take(1) != 0) block[0] = store(block[0] | 1 << low);
    return BlockStatus::ok;
  }
};

// G.1.2.2: the first scan of a band of AC, all but its lowest bits.
struct AcFirstScan {
  HuffmanCode code;
  int start, end, low;
  std::uint32_t end_of_band_run = 0;

  void restart() { end_of_band_run = 0; }

  BlockStatus block(BitReader& reader, Block& block, std::size_t /*component*/) {
    if (end_of_band_run != 0) {
      --end_of_band_run;
      return BlockStatus::ok;
    }
    BitReader bits = reader;
    const BlockStatus status = decode(bits, block);
    reader = bits;
    return status;
  }

  BlockStatus decode(BitReader& bits, Block& block) {
    for (int k = start; k <= end; ++k) {
      bits.refill();
      const Symbol symbol = code.find(bits.window());
      if (symbol.length == 0) return BlockStatus::bad_code;
      bits.consume(symbol.length);
      const int size = symbol.value & 15;
      const int run = symbol.value >> 4;
      if (size == 0 && run != 15) {
        end_of_band_run = (1u << run) - 1;
        if (run != 0) end_of_band_run += bits.take(run);
        return BlockStatus::ok;
      }
      k += run;
      if (k > end) return BlockStatus::past_band;
      if (size != 0) {
        const int value = extend(bits.take(size), size);
        block[zigzag_to_natural[static_cast<std::size_t>(k)]] = store(std::int64_t{value} * (1 << low));
      }
    }
    return BlockStatus::ok;
  }
};

// G.1.2.3: one more bit of a band of AC. Which coefficients are not zero yet is one 64-bit word in zigzag order, so
// that zeros are passed and corrections counted without a look at each.
struct AcRefinementScan {
  HuffmanCode code;
  int low;
  std::uint64_t band;
  std::uint32_t end_of_band_run = 0;

  void restart() { end_of_band_run = 0; }

  BlockStatus block(BitReader& reader, Block& block, std::size_t /*component*/) {
    const std::uint64_t nonzero = nonzero_in_zigzag(block) & band;
    if (end_of_band_run != 0 && nonzero == 0) {
      --end_of_band_run;
      return BlockStatus::ok;
    }
    BitReader bits = reader;
    const BlockStatus status = decode(bits, block, nonzero, band & ~nonzero);
    reader = bits;
    return status;
  }

  // One correction bit each; bit `low` is clear until now, since scans out of order are refused.
  [[gnu::always_inline]] void correct(BitReader& bits, Block& block, std::uint64_t which) const {
    for (; which != 0; which &= which - 1) {
      std::int16_t& coefficient = block[zigzag_to_natural[static_cast<std::size_t>(std::countr_zero(which))]];
      const int value = coefficient;
      const int sign = value >> 15;
      bits.ensure(1);
      const auto change = static_cast<int>(bits.take(1));
      coefficient = store(value + (((1 << low) ^ sign) - sign) * change);
    }
  }

  // `known` and `zeros` are what the band still holds of each behind the place reached.
  [[gnu::always_inline]] BlockStatus decode(BitReader& bits, Block& block, std::uint64_t known, std::uint64_t zeros) {
    for (std::uint64_t left = band; end_of_band_run == 0 && left != 0;) {
      bits.refill();
      const Symbol symbol = code.find(bits.window());
      if (symbol.length == 0) return BlockStatus::bad_code;
      bits.consume(symbol.length);
      const int size = symbol.value & 15;
      const int run = symbol.value >> 4;
      int value = 0;
      if (size == 0) {
        if (run != 15) {
          end_of_band_run = 1u << run;
          if (run != 0) end_of_band_run += bits.take(run);
          break;
        }
      } else {
        if (size != 1) return BlockStatus::bad_code;  // a new coefficient is +-1 at its first bit
        value = bits.take(1) != 0 ? 1 << low : -(1 << low);
      }
      for (int i = 0; i < run; ++i) zeros &= zeros - 1;
      const std::uint64_t here = zeros & (~zeros + 1);  // 0: the run reaches past the band
      const std::uint64_t passed = here - 1;
      correct(bits, block, known & passed);
      if (here == 0) {
        if (value != 0) return BlockStatus::past_band;
        return BlockStatus::ok;
      }
      if (value != 0) block[zigzag_to_natural[static_cast<std::size_t>(std::countr_zero(here))]] = store(value);
      known &= ~passed;
      zeros &= ~here;
      left = band & ~passed & ~here;
    }
    if (end_of_band_run != 0) {
      correct(bits, block, known);
      --end_of_band_run;
    }
    return BlockStatus::ok;
  }
};

}  // namespace prepixel
