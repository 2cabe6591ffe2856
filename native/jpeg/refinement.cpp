#include "jpeg/refinement_body.hpp"

namespace prepixel {

namespace {

BlockStatus refine_portable(Refinement& state, const HuffmanCode& code, BitReader& reader, Block& block,
                            std::uint64_t& nonzero) {
  return refine<false>(state, code, reader, block, nonzero);
}

}  // namespace

RefineBlock portable_refine_block() { return refine_portable; }

RefineBlock best_refine_block() { return cpu_features().fast_deposit ? bmi2_refine_block() : refine_portable; }

}  // namespace prepixel
