#include "jpeg/refinement_body.hpp"

namespace prepixel {

#if PREPIXEL_X86

namespace {

__attribute__((target("bmi,bmi2,popcnt"))) BlockStatus refine_bmi2(Refinement& state, const HuffmanCode& code,
                                                                   BitReader& reader, Block& block,
                                                                   std::uint64_t& nonzero) {
  return refine<true>(state, code, reader, block, nonzero);
}

}  // namespace

RefineBlock bmi2_refine_block() { return refine_bmi2; }

#else

RefineBlock bmi2_refine_block() { return nullptr; }

#endif

}  // namespace prepixel
