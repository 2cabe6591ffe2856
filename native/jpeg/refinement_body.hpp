// Refinement of one block as a template: `fast` uses the BMI2 instruction PDEP, in functions of that target.
#pragma once

#include <bit>

#include "jpeg/refinement.hpp"
#include "jpeg/sequential_block.hpp"
#include "simd/cpu.hpp"

namespace prepixel {

namespace {

// Deposit the lowest bits of `values`, in order, at the ones of `mask` (PDEP).
template <bool fast>
[[gnu::always_inline]] inline std::uint64_t deposit(std::uint64_t values, std::uint64_t mask) {
#if PREPIXEL_X86
  if constexpr (fast) {
    std::uint64_t result = 0;
    asm("pdep %2, %1, %0" : "=r"(result) : "r"(values), "r"(mask));
    return result;
  }
#endif
  std::uint64_t result = 0;
  for (; mask != 0 && values != 0; mask &= mask - 1, values >>= 1)
    if ((values & 1) != 0) result |= mask & (~mask + 1);
  return result;
}

// Return the one of `mask` that has `count` lower ones; 0 if there are fewer.
template <bool fast>
[[gnu::always_inline]] inline std::uint64_t select(std::uint64_t mask, int count) {
  if constexpr (fast) return deposit<true>(std::uint64_t{1} << count, mask);
  for (; count != 0; --count) mask &= mask - 1;
  return mask & (~mask + 1);
}

inline std::uint64_t reverse_bits(std::uint64_t word) {
  word = (word >> 1 & 0x5555555555555555) | (word & 0x5555555555555555) << 1;
  word = (word >> 2 & 0x3333333333333333) | (word & 0x3333333333333333) << 2;
  word = (word >> 4 & 0x0F0F0F0F0F0F0F0F) | (word & 0x0F0F0F0F0F0F0F0F) << 4;
  return byte_swap(word);
}

// The correction bits of a block's coefficients with nonzero history, in zigzag order, collected from between its
// symbols. They are applied once, at the end, so that no branch depends on them.
class Corrections {
 public:
  [[gnu::always_inline]] void receive(BitReader& bits, std::uint64_t which) {
    int count = std::popcount(which);
    num_bits_ += count;
    for (; count > 32; count -= 32) {
      bits.refill();
      bits_ = bits_ << 32 | bits.receive(32);
    }
    bits.ensure(count);
    bits_ = bits_ << count | bits.window() >> 1 >> (63 - count);
    bits.consume(count);
  }

  // Return the coefficients of `history` whose correction bit is 1; each of them has received its bit.
  template <bool fast>
  [[gnu::always_inline]] std::uint64_t corrected(std::uint64_t history) const {
    if (num_bits_ == 0) return 0;
    return deposit<fast>(reverse_bits(bits_) >> (64 - num_bits_), history);
  }

 private:
  std::uint64_t bits_ = 0;
  int num_bits_ = 0;
};

template <bool fast>
[[gnu::always_inline]] inline BlockStatus decode(Refinement& state, const HuffmanCode& code, BitReader& bits,
                                                 Block& block, std::uint64_t& nonzero) {
  const std::uint64_t history = nonzero & state.band;  // coefficients with nonzero history
  std::uint64_t left = state.band;                     // positions that are still to be coded
  std::uint64_t added = 0;
  Corrections corrections;
  while (state.eobrun == 0 && left != 0) {
    bits.refill();
    const Symbol symbol = code.decode(bits.window());
    if (symbol.length == 0) return BlockStatus::bad_code;
    bits.consume(symbol.length);
    const int size = symbol.value & 15;
    const int run = symbol.value >> 4;
    if (size == 0 && run != 15) {
      state.eobrun = 1u << run;
      if (run != 0) state.eobrun += bits.receive(run);
      break;
    }
    if (size > 1) return BlockStatus::bad_code;  // a new coefficient is +1 or -1
    const std::uint64_t here = select<fast>(left & ~history, run);  // 0: the run exceeds the band
    const std::uint64_t skipped = left & (here - 1);
    if (size == 1) {
      if (here == 0) return BlockStatus::past_band;
      const int value = bits.receive(1) != 0 ? 1 << state.al : -(1 << state.al);
      block[zigzag_to_natural[static_cast<std::size_t>(std::countr_zero(here))]] = to_int16(value);
      added |= here;
    }
    corrections.receive(bits, history & skipped);
    left &= ~skipped & ~here;
  }
  if (state.eobrun != 0) {
    corrections.receive(bits, history & left);
    --state.eobrun;
  }
  for (std::uint64_t rest = corrections.corrected<fast>(history); rest != 0; rest &= rest - 1) {
    // Bit Al is clear until now, since scans out of order are refused.
    std::int16_t& coefficient = block[zigzag_to_natural[static_cast<std::size_t>(std::countr_zero(rest))]];
    const int sign = coefficient >> 15;
    coefficient = to_int16(coefficient + (((1 << state.al) ^ sign) - sign));
  }
  nonzero |= added;
  return BlockStatus::ok;
}

// A copy of the reader, so that its window stays in registers.
template <bool fast>
[[gnu::always_inline]] inline BlockStatus refine(Refinement& state, const HuffmanCode& code, BitReader& reader,
                                                 Block& block, std::uint64_t& nonzero) {
  BitReader bits = reader;
  const BlockStatus status = decode<fast>(state, code, bits, block, nonzero);
  reader = bits;
  return status;
}

}  // namespace

}  // namespace prepixel
