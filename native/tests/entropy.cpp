// Bits, stuffing and Huffman lookups against their definitions, one symbol and one bit at a time.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "jpeg/bit_reader.hpp"
#include "jpeg/huffman.hpp"
#include "jpeg/huffman_lookup.hpp"

using namespace prepixel;

namespace {

int checks = 0;

void check(bool holds, const char* what) {
  ++checks;
  if (holds) return;
  std::fprintf(stderr, "failed: %s\n", what);
  std::exit(1);
}

void segments_end_at_markers() {
  const std::vector<std::uint8_t> file = {0x12, 0xFF, 0x00, 0x34, 0xFF, 0xFF, 0x00, 0x56, 0xFF, 0xFF, 0xD3, 0x78, 0xFF};
  SegmentReader reader(file);
  const EntropySegment first = reader.read(0);
  check(first.size == 5 && first.data[0] == 0x12 && first.data[1] == 0xFF && first.data[2] == 0x34 &&
            first.data[3] == 0xFF && first.data[4] == 0x56,
        "stuffed zeros go, with fill bytes before them");
  for (std::size_t i = 0; i < segment_padding; ++i) check(first.data[first.size + i] == 0, "zeros follow the data");
  check(first.marker == 0xD3 && first.file_end == 8 && first.after_marker == 11, "fill bytes belong to the marker");
  const std::size_t places[] = {0, 1, 3, 4, 7};
  for (std::size_t i = 0; i < 5; ++i) check(reader.file_offset(first, i) == places[i], "a byte's place in the file");
  const EntropySegment second = reader.read(first.after_marker);
  check(second.size == 1 && second.marker == 0 && second.file_end == 12, "a lone 0xFF ends the file");
  check(reader.read(file.size()).size == 0, "nothing after the end");
}

void bits_come_in_order_and_their_end_is_seen() {
  std::mt19937 random(7);
  for (std::size_t size = 0; size < 40; ++size) {
    std::vector<std::uint8_t> file(size);
    for (auto& byte : file) byte = static_cast<std::uint8_t>(random() % 255);  // no 0xFF: nothing is stuffed
    SegmentReader reader(file);
    BitReader bits(reader.read(0));
    std::size_t at = 0;
    while (at < 8 * size) {
      const int length = static_cast<int>(1 + random() % 16);
      if (at + static_cast<std::size_t>(length) > 8 * size) break;
      std::uint32_t expected = 0;
      for (int i = 0; i < length; ++i, ++at) expected = expected << 1 | (file[at / 8] >> (7 - at % 8) & 1u);
      bits.refill();
      check(bits.receive(length) == expected, "bits");
      check(!bits.overrun() && bits.consumed_bits() == at && bits.unread_bytes() == (8 * size - at) / 8, "their count");
    }
    bits.refill();
    for (; at < 8 * size; ++at) bits.consume(1);
    check(!bits.overrun(), "the last bit is there");
    bits.consume(1);
    check(bits.overrun() && bits.unread_bytes() == 0, "the one after it is not");
  }
}

// Random codes that are never full, so that the code of all ones stays free.
HuffmanSpec random_spec(std::mt19937& random, int most_symbol) {
  HuffmanSpec spec;
  std::uint32_t free = 1;
  std::size_t total = 0;
  const std::size_t wanted = 1 + random() % static_cast<unsigned>(most_symbol);
  for (std::size_t length = 1; length <= 16; ++length) {
    free *= 2;
    const std::uint32_t most = std::min<std::uint32_t>(free - 1, static_cast<std::uint32_t>(wanted - total));
    const std::uint32_t count = length == 16 ? most : random() % (most / 2 + 1);
    spec.counts[length] = static_cast<std::uint8_t>(std::min<std::uint32_t>(count, 255));
    free -= spec.counts[length];
    total += spec.counts[length];
  }
  for (std::size_t i = 0; i < total; ++i)
    spec.symbols[i] = static_cast<std::uint8_t>(random() % static_cast<unsigned>(most_symbol));
  return spec;
}

// F.2.2.3, DECODE, from the counts alone.
Symbol decode_slowly(const HuffmanSpec& spec, std::uint64_t window) {
  std::uint32_t code = 0;
  std::uint32_t first = 0;
  std::size_t index = 0;
  for (int length = 1; length <= 16; ++length) {
    code = code << 1 | static_cast<std::uint32_t>(window >> (64 - length) & 1);
    const std::uint32_t count = spec.counts[static_cast<std::size_t>(length)];
    if (code - first < count) return {spec.symbols[index + (code - first)], length};
    index += count;
    first = (first + count) << 1;
  }
  return {0, 0};
}

void symbols_are_found(std::mt19937& random) {
  const HuffmanSpec spec = random_spec(random, 256);
  const auto code = HuffmanCode::make(spec, HuffmanClass::ac);
  check(code.has_value(), "a code that leaves room is taken");
  for (int i = 0; i < 2000; ++i) {
    const std::uint64_t window =
        static_cast<std::uint64_t>(random()) << 32 | (i % 2 == 0 ? 0 : 0xFFFFFFFFu << (i % 32));
    const Symbol expected = decode_slowly(spec, window);
    const Symbol found = code->decode(window);
    check(found.length == expected.length && (found.length == 0 || found.value == expected.value), "symbol");
  }
}

int additional(std::uint64_t window, int used, int size) {
  int value = 0;
  for (int i = 0; i < size; ++i) value = value << 1 | static_cast<int>(window >> (63 - used - i) & 1);
  return size == 0 || value >> (size - 1) != 0 ? value : value - (1 << size) + 1;
}

// A window that begins with the index of a lookup; the rest is random.
std::uint64_t random_window(std::mt19937& random, std::size_t index, int lookup_length) {
  const std::uint64_t noise = static_cast<std::uint64_t>(random()) << 32 | random();
  return static_cast<std::uint64_t>(index) << (64 - lookup_length) | noise >> lookup_length;
}

// An AC symbol with its additional bits, by definition.
struct Slow {
  Slow(const HuffmanSpec& spec, std::uint64_t window, EndOfBlock end) {
    const Symbol symbol = decode_slowly(spec, window);
    code_length = symbol.length;
    run = symbol.value >> 4;
    size = symbol.value & 15;
    ends = size == 0 && run != 15;
    if (ends) size = end == EndOfBlock::eobn ? run : 0;
    value = additional(window, code_length, size);
    length = code_length + size;
    advance = ends ? AcEntry::advance_end : run + 1;
  }
  int code_length, run, size, value, length, advance;
  bool ends;
};

// Every lookup entry equals decoding symbol by symbol.
void lookups_agree_with_symbols(std::mt19937& random, const HuffmanSpec& spec, EndOfBlock end) {
  constexpr int seen = AcTable::lookup_length;
  const auto table = HuffmanTableLease().ac(spec, end);
  check(table != nullptr, "table");
  for (std::size_t index = 0; index < table->entries.size(); ++index) {
    const AcEntry entry = table->entries[index];
    const std::uint64_t window = random_window(random, index, seen);
    const Slow first(spec, window, end);
    check(first.code_length <= AcTable::lookup_length || entry.length() == 0, "a code longer than a lookup");
    if (entry.length() == 0) {
      check(entry.advance() == AcEntry::advance_end, "what has no entry leaves the loop");
      check(first.code_length == 0 || first.code_length > seen || first.length > AcTable::most_bits,
            "the slow path is for what does not fit");
      continue;
    }
    check(entry.length() <= AcTable::most_bits, "three lookups a window");
    if (entry.length() == first.length) {
      check(entry.advance() == first.advance && entry.last_size() == first.size, "one symbol");
      check(first.ends ? entry.first_run() == 0 && entry.first_value() == 0 : entry.first_run() == first.run,
            "both stores go to one place; an end's go where nothing is");
    } else {
      const Slow second(spec, window << first.length, end);
      check(!first.ends && second.code_length != 0 && first.length + second.code_length <= seen, "a second symbol");
      check(entry.length() == first.length + second.length && entry.last_size() == second.size, "its length and bits");
      check(entry.first_run() == first.run && entry.first_value() == first.value, "the first one's run and value");
      check(entry.advance() == first.advance + second.advance, "both advances");
    }
  }
}

void differences_agree_with_symbols(std::mt19937& random, const HuffmanSpec& spec) {
  constexpr int seen = DcTable::lookup_length;
  const auto table = HuffmanTableLease().dc(spec);
  check(table != nullptr, "table");
  for (std::size_t index = 0; index < table->entries.size(); ++index) {
    const int entry = table->entries[index];
    const Symbol symbol = decode_slowly(spec, random_window(random, index, seen));
    const int length = symbol.length + symbol.value;
    if (entry == 0) {
      check(symbol.length == 0 || symbol.length > seen || length > DcTable::most_bits, "the slow path is for the rest");
      continue;
    }
    check((entry & 63) == length && entry >> 8 == symbol.value && symbol.length <= seen, "length and size");
  }
}

void additional_bits_are_values() {
  for (int size = 0; size < 16; ++size)
    for (int value = 0; value < 1 << size; ++value)
      check(extend_low(0xABCD0000ull << size | static_cast<unsigned>(value), size) ==
                (size == 0 ? 0 : extend(static_cast<std::uint32_t>(value), size)),
            "EXTEND of the lowest bits");
}

void codes_that_are_none_are_refused() {
  const auto made = [](std::initializer_list<int> counts, std::uint8_t symbol, HuffmanClass table_class) {
    HuffmanSpec spec;
    std::size_t length = 1;
    for (const int count : counts) spec.counts[length++] = static_cast<std::uint8_t>(count);
    spec.symbols.fill(symbol);
    return HuffmanCode::make(spec, table_class).has_value();
  };
  check(made({1}, 0, HuffmanClass::dc), "one code of one bit");
  check(!made({2}, 0, HuffmanClass::dc), "the code of all ones");
  check(!made({1, 2}, 0, HuffmanClass::dc), "all ones, longer");
  check(!made({0, 5}, 0, HuffmanClass::dc), "more codes than bits");
  check(!made({1}, 16, HuffmanClass::dc), "a DC symbol above 15");
  check(made({1}, 16, HuffmanClass::ac), "which AC may have");
  check(!made({0, 0, 0, 0, 0, 0, 0, 0, 200, 200}, 0, HuffmanClass::ac), "more than 256 codes");
  check(made({}, 0, HuffmanClass::ac), "no code at all: any use of it is a fault in the data");
}

}  // namespace

int main() {
  segments_end_at_markers();
  bits_come_in_order_and_their_end_is_seen();
  codes_that_are_none_are_refused();
  additional_bits_are_values();
  std::mt19937 random(20020);
  for (int i = 0; i < 40; ++i) {
    symbols_are_found(random);
    lookups_agree_with_symbols(random, random_spec(random, 256), i % 2 == 0 ? EndOfBlock::eob : EndOfBlock::eobn);
    differences_agree_with_symbols(random, random_spec(random, 16));
  }
  for (int id = 0; id < 2; ++id) {
    lookups_agree_with_symbols(random, standard_huffman(HuffmanClass::ac, id), EndOfBlock::eob);
    differences_agree_with_symbols(random, standard_huffman(HuffmanClass::dc, id));
  }
  std::printf("%d checks\n", checks);
  return 0;
}
