// One block of a scan that refines a band of AC by one bit. Source: ITU-T T.81, G.1.2.3 and Figures G.7 to G.9.
#pragma once

#include <cstdint>

#include "jpeg/bit_reader.hpp"
#include "jpeg/huffman.hpp"
#include "jpeg/types.hpp"

namespace prepixel {

enum class BlockStatus : std::uint8_t;  // block_decoding.hpp

struct Refinement {
  int low;             // the bit that this scan adds
  std::uint64_t band;  // zigzag bits
  std::uint32_t eob_run = 0;
};

// `nonzero`: which coefficients of the block are not zero, zigzag bits; new ones are added.
using RefineBlock = BlockStatus (*)(Refinement& state, const HuffmanCode& code, BitReader& reader, Block& block,
                                    std::uint64_t& nonzero);

// What this machine does fastest; all give the same.
RefineBlock best_refine_block();
RefineBlock portable_refine_block();

}  // namespace prepixel
