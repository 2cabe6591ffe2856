// Coefficients as the symbols of a sequential scan, with their statistics. Source: ITU-T T.81, F.1.2.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "jpeg/encoder.hpp"
#include "jpeg/optimal_huffman.hpp"

namespace prepixel {

// A symbol with its additional bits: (2 * component + class) << 24 | symbol << 16 | bits, class 0 DC and 1 AC.
using Token = std::uint32_t;

constexpr std::size_t num_codes = 8 * 256;  // a token shifted right by 16 is below it

// What a token's upper half is written as: its Huffman code, shifted to make room for the additional bits.
struct TokenCode {
  std::uint32_t bits = 0;
  std::uint32_t length = 0;  // of code and additional bits, at most 31
};
using TokenCodes = std::array<TokenCode, num_codes>;

// The tokens of all scans of an image, one after another.
class Tokens {
 public:
  // `limits` bound the memory of the tokens; JpegFault (limit): they need more.
  explicit Tokens(const Limits& limits) : limits_(limits) {}

  // Append the tokens of one block (F.1.2.1, F.1.2.2). `dc_predictor` becomes the block's DC.
  void add_block(unsigned component, const std::int16_t* block, std::uint64_t kept_zigzag, int& dc_predictor);

  // Append a block of padding (A.2.4): the predicted DC, and zeros.
  void add_padding(unsigned component);

  void end_interval() { interval_ends_.push_back(size_); }

  // The tokens of one restart interval after another.
  std::size_t num_intervals() const { return interval_ends_.size(); }
  std::span<const Token> interval(std::size_t index) const {
    const std::size_t begin = index == 0 ? 0 : interval_ends_[index - 1];
    return {list_.get() + begin, interval_ends_[index] - begin};
  }

  SymbolCounts counts(unsigned component, HuffmanClass table_class) const;

  // The memory that the tokens take.
  std::uint64_t bytes() const {
    return capacity_ * sizeof(Token) + interval_ends_.capacity() * sizeof(interval_ends_[0]);
  }

  // The bytes that append_segment() needs for all intervals, and a marker in front of each.
  std::uint64_t most_coded_bytes(const TokenCodes& codes) const;

  // Bitwise or of all magnitudes: of DC differences and of AC coefficients.
  std::uint32_t dc_magnitudes() const { return dc_magnitudes_; }
  std::uint32_t ac_magnitudes() const { return ac_magnitudes_; }

 private:
  Token* room();
  void put(Token*& at, std::uint32_t slot, std::uint32_t symbol, std::uint32_t bits) {
    const std::uint32_t index = slot << 8 | symbol;
    ++counts_[index];
    *at++ = index << 16 | bits;
  }

  Limits limits_;
  std::unique_ptr<Token[]> list_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
  std::vector<std::size_t> interval_ends_;
  std::array<std::uint64_t, num_codes> counts_{};
  std::uint32_t dc_magnitudes_ = 0;
  std::uint32_t ac_magnitudes_ = 0;
};

TokenCodes token_codes(const SharedTables& dc, const SharedTables& ac, std::size_t num_components);

// Append one entropy-coded segment: the bits of the tokens, 1-bits that pad the last byte (F.1.2.3), and a stuffed zero
// byte after each 0xFF (B.1.1.5).
void append_segment(Bytes& out, std::span<const Token> tokens, const TokenCodes& codes);

// Permute a mask in natural order to zigzag order.
std::uint64_t zigzag_bits(std::uint64_t natural);

}  // namespace prepixel
