#include "jpeg/encoder_symbols.hpp"

#include <algorithm>
#include <bit>

#include "simd/nonzero_mask.hpp"

namespace prepixel {

namespace {

// DC, at most 63 AC symbols (ZRL included), and EOB.
constexpr std::size_t most_block_tokens = 66;

using RowBits = std::array<std::array<std::uint64_t, 256>, 8>;

// Row v of a mask in natural order, as a mask in zigzag order.
constexpr RowBits make_row_bits() {
  std::array<int, 64> zigzag_of{};
  for (int k = 0; k < 64; ++k) zigzag_of[zigzag_to_natural[static_cast<std::size_t>(k)]] = k;
  RowBits rows{};
  for (std::size_t v = 0; v < 8; ++v) {
    for (std::size_t set = 0; set < 256; ++set) {
      for (std::size_t u = 0; u < 8; ++u) {
        if ((set >> u & 1) != 0) rows[v][set] |= std::uint64_t{1} << zigzag_of[8 * v + u];
      }
    }
  }
  return rows;
}

constexpr RowBits row_bits = make_row_bits();

struct Magnitude {
  std::uint32_t value;
  std::uint32_t size;  // category (F.1.2.1.2, Table F.1), 15 at most; the caller refuses larger ones
  std::uint32_t bits;  // lowest `size` bits of the value, or of value - 1 if it is negative
};

Magnitude magnitude_of(int value) {
  const auto absolute = static_cast<std::uint32_t>(value < 0 ? -value : value);
  const std::uint32_t size = std::min<std::uint32_t>(15, static_cast<std::uint32_t>(std::bit_width(absolute)));
  const auto bits = static_cast<std::uint32_t>(value < 0 ? value - 1 : value) & ((1u << size) - 1);
  return {absolute, size, bits};
}

std::uint8_t* put_stuffed(std::uint8_t* at, std::uint32_t byte) {
  *at++ = static_cast<std::uint8_t>(byte);
  if (byte == 0xFF) *at++ = 0;
  return at;
}

std::uint8_t* write_bits(std::span<const Token> tokens, const TokenCodes& codes, std::uint8_t* at) {
  std::uint64_t window = 0;  // its lowest `count` bits are not written yet
  std::uint32_t count = 0;   // below 32 between tokens
  for (const Token token : tokens) {
    const TokenCode& code = codes[token >> 16];
    window = window << code.length | code.bits | (token & 0xFFFF);
    count += code.length;
    if (count < 32) continue;
    count -= 32;
    const auto word = static_cast<std::uint32_t>(window >> count);
    if (((~word - 0x01010101u) & word & 0x80808080u) == 0) {  // no byte of it is 0xFF
      for (int shift = 24; shift >= 0; shift -= 8) *at++ = static_cast<std::uint8_t>(word >> shift);
    } else {
      for (int shift = 24; shift >= 0; shift -= 8) at = put_stuffed(at, word >> shift & 255);
    }
  }
  const std::uint32_t padding = (8 - count % 8) % 8;
  window = window << padding | ((1u << padding) - 1);
  for (count += padding; count != 0; count -= 8) {
    at = put_stuffed(at, static_cast<std::uint32_t>(window >> (count - 8)) & 255);
  }
  return at;
}

}  // namespace

std::uint64_t zigzag_bits(std::uint64_t natural) {
  std::uint64_t bits = 0;
  for (std::size_t v = 0; v < 8; ++v) bits |= row_bits[v][natural >> (8 * v) & 255];
  return bits;
}

Token* Tokens::room() {
  if (capacity_ - size_ < most_block_tokens) {
    const std::size_t capacity = std::max<std::size_t>(1 << 14, 2 * capacity_);
    check_memory("the symbols to encode", (capacity + capacity_) * sizeof(Token), limits_);
    std::unique_ptr<Token[]> larger(new Token[capacity]);
    std::copy_n(list_.get(), size_, larger.get());
    list_ = std::move(larger);
    capacity_ = capacity;
  }
  return list_.get() + size_;
}

void Tokens::add_block(unsigned component, const std::int16_t* block, std::uint64_t kept_zigzag, int& dc_predictor) {
  Token* at = room();
  const std::uint32_t dc_slot = 2 * component;
  const std::uint32_t ac_slot = dc_slot + 1;

  const int dc = (kept_zigzag & 1) != 0 ? block[0] : 0;
  const Magnitude difference = magnitude_of(dc - dc_predictor);
  dc_predictor = dc;
  dc_magnitudes_ |= difference.value;
  put(at, dc_slot, difference.size, difference.bits);

  // Figure F.2: runs of zeros and the coefficients after them.
  std::uint64_t left = zigzag_bits(nonzero_mask(block)) & kept_zigzag & ~std::uint64_t{1};
  int before = 0;
  while (left != 0) {
    const int k = std::countr_zero(left);
    left &= left - 1;
    auto run = static_cast<std::uint32_t>(k - before - 1);
    before = k;
    for (; run > 15; run -= 16) put(at, ac_slot, 0xF0, 0);  // ZRL
    const Magnitude coefficient = magnitude_of(block[zigzag_to_natural[static_cast<std::size_t>(k)]]);
    ac_magnitudes_ |= coefficient.value;
    put(at, ac_slot, run << 4 | coefficient.size, coefficient.bits);
  }
  if (before != 63) put(at, ac_slot, 0, 0);  // EOB
  size_ = static_cast<std::size_t>(at - list_.get());
}

void Tokens::add_padding(unsigned component) {
  Token* at = room();
  put(at, 2 * component, 0, 0);
  put(at, 2 * component + 1, 0, 0);
  size_ += 2;
}

SymbolCounts Tokens::counts(unsigned component, HuffmanClass table_class) const {
  const std::size_t slot = 2 * component + (table_class == HuffmanClass::ac ? 1 : 0);
  SymbolCounts counts;
  std::copy_n(counts_.begin() + static_cast<std::ptrdiff_t>(256 * slot), 256, counts.begin());
  return counts;
}

std::uint64_t Tokens::most_coded_bytes(const TokenCodes& codes) const {
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < num_codes; ++i) bits += counts_[i] * codes[i].length;
  return 2 * (bits / 8 + 2 * std::uint64_t{num_intervals()});  // a part of a byte and a marker for each interval
}

TokenCodes token_codes(const SharedTables& dc, const SharedTables& ac, std::size_t num_components) {
  TokenCodes all;
  for (std::size_t i = 0; i < num_components; ++i) {
    const auto dc_codes = codes_of(dc.tables[static_cast<std::size_t>(dc.table_of[i])]);
    const auto ac_codes = codes_of(ac.tables[static_cast<std::size_t>(ac.table_of[i])]);
    for (std::uint32_t symbol = 0; symbol < 256; ++symbol) {
      const std::uint32_t size = symbol & 15;
      all[512 * i + symbol] = {std::uint32_t{dc_codes[symbol].bits} << size, dc_codes[symbol].length + size};
      all[512 * i + 256 + symbol] = {std::uint32_t{ac_codes[symbol].bits} << size, ac_codes[symbol].length + size};
    }
  }
  return all;
}

void append_segment(Bytes& out, std::span<const Token> tokens, const TokenCodes& codes) {
  std::size_t bits = 7;
  for (const Token token : tokens) bits += codes[token >> 16].length;
  const std::size_t begin = out.size();
  out.resize(begin + 2 * (bits / 8));  // every byte may need a stuffed zero
  const std::uint8_t* end = write_bits(tokens, codes, out.data() + begin);
  out.resize(static_cast<std::size_t>(end - out.data()));
}

}  // namespace prepixel
