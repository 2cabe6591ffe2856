#include "jpeg/optimal_huffman.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <optional>

namespace prepixel {

namespace {

constexpr std::size_t reserved = 256;   // pseudo-symbol for the code of all ones
constexpr std::size_t most_symbols = 257;
constexpr std::size_t longest_code = 16;

using CodeSizes = std::array<std::uint16_t, most_symbols>;

// Figure K.1, over the symbols that occur: each step merges the two rarest trees (of equals, the one of the higher
// symbol first) and makes every code in them one bit longer.
CodeSizes code_sizes(const SymbolCounts& counts) {
  struct Tree {
    std::uint64_t count;
    std::uint16_t first;  // of its symbols, which `others` links
  };
  constexpr std::uint16_t none = std::numeric_limits<std::uint16_t>::max();
  CodeSizes sizes{};
  std::array<std::uint16_t, most_symbols> others;
  others.fill(none);
  std::array<Tree, most_symbols> trees;  // by increasing first symbol
  std::size_t num_trees = 0;
  for (std::size_t symbol = 0; symbol < reserved; ++symbol) {
    if (counts[symbol] != 0) trees[num_trees++] = {counts[symbol], static_cast<std::uint16_t>(symbol)};
  }
  trees[num_trees++] = {1, reserved};
  while (num_trees > 1) {
    std::size_t rarest = 0;
    for (std::size_t i = 1; i < num_trees; ++i) {
      if (trees[i].count <= trees[rarest].count) rarest = i;
    }
    std::size_t second = rarest == 0 ? 1 : 0;
    for (std::size_t i = second + 1; i < num_trees; ++i) {
      if (i != rarest && trees[i].count <= trees[second].count) second = i;
    }
    Tree& merged = trees[rarest];
    merged.count += trees[second].count;
    std::uint16_t symbol = merged.first;
    for (;; symbol = others[symbol]) {
      ++sizes[symbol];
      if (others[symbol] == none) break;
    }
    others[symbol] = trees[second].first;
    for (symbol = trees[second].first; symbol != none; symbol = others[symbol]) ++sizes[symbol];
    for (std::size_t i = second + 1; i < num_trees; ++i) trees[i - 1] = trees[i];
    --num_trees;
  }
  return sizes;
}

// Return the bits of all codes and of the table in its DHT segment, without additional bits.
std::uint64_t cost_in_bits(const HuffmanSpec& spec, const SymbolCounts& counts) {
  std::uint64_t cost = 8 * 17;  // class and id, and sixteen counts (B.2.4.2)
  std::size_t index = 0;
  for (std::size_t length = 1; length <= longest_code; ++length) {
    for (int i = 0; i < spec.counts[length]; ++i) cost += 8 + length * counts[spec.symbols[index++]];
  }
  return cost;
}

}  // namespace

HuffmanSpec optimal_huffman(const SymbolCounts& counts) {
  const CodeSizes sizes = code_sizes(counts);
  std::array<int, most_symbols> bits{};  // Figure K.2: codes of each length
  for (const std::uint16_t size : sizes) {
    if (size != 0) ++bits[size];
  }
  const std::size_t longest_seen = *std::max_element(sizes.begin(), sizes.end());
  // Figure K.3: of two codes that are too long, one becomes their prefix; a shorter code is split for the other.
  for (std::size_t i = longest_seen; i > longest_code; --i) {
    while (bits[i] > 0) {
      std::size_t j = i - 2;
      while (bits[j] == 0) --j;
      bits[i] -= 2;
      bits[i - 1] += 1;
      bits[j + 1] += 2;
      bits[j] -= 1;
    }
  }
  std::size_t longest = longest_code;
  while (longest > 1 && bits[longest] == 0) --longest;
  --bits[longest];  // the reserved one
  HuffmanSpec spec;
  for (std::size_t length = 1; length <= longest_code; ++length) {
    spec.counts[length] = static_cast<std::uint8_t>(bits[length]);
  }
  std::size_t next = 0;  // Figure K.4: symbols by code length, of equals the lower symbol first
  for (std::size_t size = 1; size <= longest_seen; ++size) {
    for (std::size_t symbol = 0; symbol < reserved; ++symbol) {
      if (sizes[symbol] == size) spec.symbols[next++] = static_cast<std::uint8_t>(symbol);
    }
  }
  return spec;
}

std::array<Code, 256> codes_of(const HuffmanSpec& spec) {
  std::array<Code, 256> codes{};
  std::uint32_t code = 0;
  std::size_t index = 0;
  for (std::size_t length = 1; length <= longest_code; ++length) {
    for (int i = 0; i < spec.counts[length]; ++i) {
      codes[spec.symbols[index++]] = {static_cast<std::uint16_t>(code++), static_cast<std::uint8_t>(length)};
    }
    code <<= 1;
  }
  return codes;
}

SharedTables share_tables(std::span<const SymbolCounts> counts) {
  struct Candidate {
    HuffmanSpec table;
    std::uint64_t cost = 0;
  };
  const std::size_t all = (std::size_t{1} << counts.size()) - 1;
  std::vector<std::optional<Candidate>> made(all + 1);  // by set of components
  const auto candidate = [&](std::size_t set) -> const Candidate& {
    if (made[set]) return *made[set];
    SymbolCounts sum{};
    for (std::size_t i = 0; i < counts.size(); ++i) {
      if ((set >> i & 1) == 0) continue;
      for (std::size_t symbol = 0; symbol < sum.size(); ++symbol) sum[symbol] += counts[i][symbol];
    }
    const HuffmanSpec table = optimal_huffman(sum);
    return made[set].emplace(Candidate{table, cost_in_bits(table, sum)});
  };
  std::size_t best = all;
  std::uint64_t least = candidate(all).cost;
  for (std::size_t first = 1; first < all; first += 2) {  // odd: component 0 is in the first set
    const std::uint64_t cost = candidate(first).cost + candidate(all ^ first).cost;
    if (cost >= least) continue;
    least = cost;
    best = first;
  }
  SharedTables shared;
  shared.tables.push_back(candidate(best).table);
  if (best != all) shared.tables.push_back(candidate(all ^ best).table);
  for (std::size_t i = 0; i < counts.size(); ++i) shared.table_of[i] = (best >> i & 1) != 0 ? 0 : 1;
  return shared;
}

}  // namespace prepixel
