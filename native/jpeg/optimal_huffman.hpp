// The Huffman code that suits given symbol counts. Source: ITU-T T.81, K.2 and Annex C.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "jpeg/huffman.hpp"

namespace prepixel {

// How often each symbol is to be coded.
using SymbolCounts = std::array<std::uint64_t, 256>;

// Code lengths 1 to 16 for the symbols that occur, by K.2: a Huffman code in which the code of all ones stays free, its
// codes longer than 16 shortened by Figure K.3. At most 2^55 symbols altogether.
HuffmanSpec optimal_huffman(const SymbolCounts& counts);

// A symbol's code, right-aligned; length 0: the table has none.
struct Code {
  std::uint16_t bits = 0;
  std::uint8_t length = 0;
};

// The codes that a table gives its symbols (C.2).
std::array<Code, 256> codes_of(const HuffmanSpec& spec);

// Tables that components share, and which is whose.
struct SharedTables {
  std::vector<HuffmanSpec> tables;  // one or two
  std::array<int, 4> table_of{};    // by component
};

// Of all ways to let one to four components share at most two tables, the one that takes the fewest bits; of equals one
// table rather than two.
SharedTables share_tables(std::span<const SymbolCounts> counts);

}  // namespace prepixel
