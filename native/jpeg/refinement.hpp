// One block of a refinement scan: one more bit of a band of AC. Source: ITU-T T.81, G.1.2.3 and Figures G.7 to G.9.
#pragma once

#include <cstdint>

#include "jpeg/bit_reader.hpp"
#include "jpeg/huffman.hpp"
#include "jpeg/types.hpp"

namespace prepixel {

enum class BlockStatus : std::uint8_t;  // sequential_block.hpp

struct Refinement {
  int al;              // the bit that this scan adds
  std::uint64_t band;  // Ss to Se, one bit each
  std::uint32_t eobrun = 0;
};

// `nonzero`: mask of the nonzero coefficients of the block by zigzag position; new ones are added.
using RefineBlock = BlockStatus (*)(Refinement& state, const HuffmanCode& code, BitReader& reader, Block& block,
                                    std::uint64_t& nonzero);

// The fastest version for this machine; all give the same result.
RefineBlock best_refine_block();
RefineBlock portable_refine_block();
RefineBlock bmi2_refine_block();  // x86-64 with CpuFeatures::fast_deposit; null on other architectures

}  // namespace prepixel
