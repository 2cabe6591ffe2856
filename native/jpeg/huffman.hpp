// Huffman codes and the tables that decode them. Source: ITU-T T.81, Annex C, F.2.2.3, K.3.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace prepixel {

// A table as coded in its DHT segment (B.2.4.2).
struct HuffmanSpec {
  std::array<std::uint8_t, 17> counts{};    // number of codes of each length, 1..16
  std::array<std::uint8_t, 256> symbols{};  // by increasing code; the rest 0
  bool operator==(const HuffmanSpec&) const = default;
};

enum class HuffmanClass : std::uint8_t { dc, ac };

// The tables of K.3: 0 luminance, 1 chrominance. Frames of motion JPEG omit them.
const HuffmanSpec& standard_huffman(HuffmanClass table_class, int id);

// EXTEND (F.2.2.1): the value of `size` additional bits. size 1..15.
constexpr int extend(std::uint32_t bits, int size) {
  const int value = static_cast<int>(bits);
  return value < 1 << (size - 1) ? value - (1 << size) + 1 : value;
}

// A symbol and the length of its code; length 0: the bits are not the beginning of any code.
struct Symbol {
  int value;
  int length;
};

// A canonical code, decoded one symbol at a time.
class HuffmanCode {
 public:
  // Empty if the counts are not those of a prefix code, use the code of all ones (C.2), or include a DC symbol above
  // 15.
  static std::optional<HuffmanCode> make(const HuffmanSpec& spec, HuffmanClass table_class);

  // DECODE (F.2.2.3): the symbol at the top of a window of at least 16 bits.
  Symbol decode(std::uint64_t window) const {
    const std::uint16_t entry = short_codes_[window >> (64 - short_length)];
    if (entry != 0) return {entry & 0xFF, entry >> 8};
    return decode_long(window);
  }

 private:
  static constexpr int short_length = 9;
  Symbol decode_long(std::uint64_t window) const;

  std::array<std::uint16_t, 1u << short_length> short_codes_{};  // length << 8 | symbol; 0: a longer code
  std::array<std::uint32_t, 17> limits_{};                       // by length: 16-bit windows below it begin with a code
  std::array<std::int32_t, 17> offsets_{};                       // by length: code + offset = index of its symbol
  std::array<std::uint8_t, 256> symbols_{};
};

}  // namespace prepixel
