#include "huffman.hpp"

#include <initializer_list>
#include <span>

namespace prepixel {

namespace {

HuffmanSpec spec_of(std::initializer_list<std::uint8_t> counts, std::initializer_list<std::uint8_t> symbols) {
  HuffmanSpec spec;
  std::size_t length = 1;
  for (const std::uint8_t count : counts) spec.counts[length++] = count;
  std::size_t index = 0;
  for (const std::uint8_t symbol : symbols) spec.symbols[index++] = symbol;
  return spec;
}

// Tables K.3 and K.4.
const HuffmanSpec dc_luminance = spec_of({0, 1, 5, 1, 1, 1, 1, 1, 1}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
const HuffmanSpec dc_chrominance = spec_of({0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});

// Table K.5.
const HuffmanSpec ac_luminance = spec_of(
    {0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d},
    {0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71,
     0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72,
     0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37,
     0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59,
     0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83,
     0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3,
     0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
     0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
     0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa});

// Table K.6.
const HuffmanSpec ac_chrominance = spec_of(
    {0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77},
    {0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22,
     0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1,
     0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35, 0x36,
     0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58,
     0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a,
     0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a,
     0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba,
     0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
     0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa});

constexpr int ac_size(int symbol) { return symbol & 15; }
constexpr int ac_run(int symbol) { return symbol >> 4; }

// One AC symbol with its additional bits, found in the first `available` of an 11-bit window.
struct AcStep {
  int length;  // 0: does not fit
  int advance;
  int value;
};

AcStep ac_step(const HuffmanCode& code, std::uint32_t window, int available) {
  const std::uint64_t top = static_cast<std::uint64_t>(window) << (64 - lookup_length);
  const Symbol symbol = code.find(top);
  const int size = ac_size(symbol.value);
  const int length = symbol.length + size;
  if (symbol.length == 0 || length > available) return {0, advance_slow, 0};
  if (size == 0) {
    const bool zero_run = ac_run(symbol.value) == 15;  // ZRL: sixteen zeros (F.1.2.2.1)
    return {length, zero_run ? 16 : advance_end, 0};
  }
  const auto bits = static_cast<std::uint32_t>((top << symbol.length) >> (64 - size));
  return {length, ac_run(symbol.value) + 1, extend(bits, size)};
}

std::uint64_t ac_entry(const AcStep& first, int total_length, int total_advance, int second_value) {
  const auto field = [](int value, int shift) {
    return static_cast<std::uint64_t>(static_cast<std::uint16_t>(value)) << shift;
  };
  return field(total_length, 0) | field(total_advance, 8) | field(first.length, 16) | field(first.advance, 24) |
         field(first.value, 32) | field(second_value, 48);
}

void fill_ac(SequentialTable& table) {
  std::array<AcStep, lookup_size> alone;
  for (std::uint32_t window = 0; window < lookup_size; ++window) {
    alone[window] = ac_step(table.code, window, lookup_length);
  }
  for (std::uint32_t window = 0; window < lookup_size; ++window) {
    const AcStep& first = alone[window];
    if (first.length != 0 && first.advance != advance_end) {
      const AcStep& second = alone[window << first.length & (lookup_size - 1)];
      if (second.length != 0 && first.length + second.length <= lookup_length) {
        table.entries[window] =
            ac_entry(first, first.length + second.length, first.advance + second.advance, second.value);
        continue;
      }
    }
    table.entries[window] = ac_entry(first, first.length, first.advance, first.value);
  }
}

void fill_dc(SequentialTable& table) {
  for (std::uint32_t window = 0; window < lookup_size; ++window) {
    const std::uint64_t top = static_cast<std::uint64_t>(window) << (64 - lookup_length);
    const Symbol symbol = table.code.find(top);
    const int length = symbol.length + symbol.value;
    if (symbol.length == 0 || length > lookup_length) continue;
    const auto bits = static_cast<std::uint32_t>(symbol.value == 0 ? 0 : (top << symbol.length) >> (64 - symbol.value));
    const int difference = symbol.value == 0 ? 0 : extend(bits, symbol.value);
    table.entries[window] =
        static_cast<std::uint64_t>(static_cast<std::uint16_t>(difference)) << 16 | static_cast<std::uint64_t>(length);
  }
}

struct KeptTable {
  HuffmanSpec spec;
  HuffmanClass table_class = HuffmanClass::dc;
  std::shared_ptr<const SequentialTable> table;
};

}  // namespace

const HuffmanSpec& standard_huffman(HuffmanClass table_class, int id) {
  if (table_class == HuffmanClass::dc) return id == 0 ? dc_luminance : dc_chrominance;
  return id == 0 ? ac_luminance : ac_chrominance;
}

std::optional<HuffmanCode> HuffmanCode::make(const HuffmanSpec& spec, HuffmanClass table_class) {
  HuffmanCode result;
  result.symbols_ = spec.symbols;
  std::uint32_t code = 0;
  std::size_t index = 0;
  for (int length = 1; length <= 16; ++length) {
    const std::uint32_t count = spec.counts[static_cast<std::size_t>(length)];
    if (index + count > 256) return std::nullopt;
    result.offsets_[static_cast<std::size_t>(length)] =
        static_cast<std::int32_t>(index) - static_cast<std::int32_t>(code);
    for (std::uint32_t i = 0; i < count; ++i, ++code, ++index) {
      const std::uint8_t symbol = spec.symbols[index];
      if (table_class == HuffmanClass::dc && symbol > 15) return std::nullopt;
      if (code + 1 >= 1u << length) return std::nullopt;
      if (length > short_length) continue;
      const std::uint32_t first = code << (short_length - length);
      const auto entry = static_cast<std::uint16_t>(length << 8 | symbol);
      for (std::uint32_t j = 0; j < 1u << (short_length - length); ++j) result.short_codes_[first + j] = entry;
    }
    result.limits_[static_cast<std::size_t>(length)] = code << (16 - length);
    code <<= 1;
  }
  return result;
}

Symbol HuffmanCode::find_long(std::uint64_t window) const {
  const auto top = static_cast<std::uint32_t>(window >> 48);
  for (int length = short_length + 1; length <= 16; ++length) {
    const auto at = static_cast<std::size_t>(length);
    if (top < limits_[at]) {
      return {symbols_[static_cast<std::size_t>(static_cast<std::int32_t>(top >> (16 - length)) + offsets_[at]) & 255],
              length};
    }
  }
  return {0, 0};
}

std::shared_ptr<const SequentialTable> sequential_table(const HuffmanSpec& spec, HuffmanClass table_class) {
  thread_local std::array<KeptTable, 12> kept;
  thread_local std::size_t oldest = 0;
  for (const KeptTable& entry : kept) {
    if (entry.table && entry.table_class == table_class && entry.spec == spec) return entry.table;
  }
  auto code = HuffmanCode::make(spec, table_class);
  if (!code) return nullptr;
  auto table = std::make_shared<SequentialTable>(SequentialTable{.code = *code, .entries = {}});
  if (table_class == HuffmanClass::ac) {
    fill_ac(*table);
  } else {
    fill_dc(*table);
  }
  kept[oldest] = {spec, table_class, table};
  oldest = (oldest + 1) % kept.size();
  return table;
}

}  // namespace prepixel
