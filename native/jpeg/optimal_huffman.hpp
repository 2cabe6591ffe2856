// The optimal Huffman code for given symbol counts. Source: ITU-T T.81, K.2 and Annex C.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "jpeg/huffman.hpp"

namespace prepixel {

// Number of occurrences of each symbol.
using SymbolCounts = std::array<std::uint64_t, 256>;

// Return code lengths 1 to 16 for the symbols that occur (K.2): a Huffman code without the code of all ones, with codes
// longer than 16 shortened by Figure K.3. The counts sum to at most 2^55.
HuffmanSpec optimal_huffman(const SymbolCounts& counts);

// A symbol's code, right-aligned; length 0: the symbol has none.
struct Code {
  std::uint16_t bits = 0;
  std::uint8_t length = 0;
};

// Return the codes of the symbols of a table (C.2).
std::array<Code, 256> codes_of(const HuffmanSpec& spec);

// Tables that components share, and the table of each component.
struct SharedTables {
  std::vector<HuffmanSpec> tables;  // one or two
  std::array<int, 4> table_of{};    // by component
};

// Return the assignment of one to four components to at most two tables that takes the fewest bits; of equals, one
// table.
SharedTables share_tables(std::span<const SymbolCounts> counts);

}  // namespace prepixel
