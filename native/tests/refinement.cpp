// Word-wise refinement of a block, every version of it, against Figures G.7 to G.9 one coefficient at a time.
#include "jpeg/refinement.hpp"

#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "jpeg/sequential_block.hpp"

using namespace prepixel;

namespace {

int checks = 0;

void check(bool holds, const char* what) {
  ++checks;
  if (holds) return;
  std::fprintf(stderr, "failed: %s\n", what);
  std::exit(1);
}

// Everything that the refinement of a block changes.
struct State {
  Block block{};
  std::uint64_t nonzero = 0;
  Refinement refinement{};
  std::size_t consumed = 0;
  BlockStatus status = BlockStatus::ok;
};

bool agree(const State& a, const State& b) {
  if (a.status != b.status) return false;
  if (a.status != BlockStatus::ok) return true;  // the block is discarded
  return a.block == b.block && a.nonzero == b.nonzero && a.consumed == b.consumed &&
         a.refinement.eobrun == b.refinement.eobrun;
}

struct RefillingReader {
  BitReader bits;
  std::uint32_t receive(int length) {
    bits.refill();
    return bits.receive(length);
  }
};

// G.1.2.3, coefficient by coefficient.
void refine_slowly(State& state, const HuffmanCode& code, const EntropySegment& segment, int start, int end) {
  RefillingReader flow{BitReader(segment)};
  std::uint32_t& eobrun = state.refinement.eobrun;
  const int step = 1 << state.refinement.al;
  const auto correct = [&](std::int16_t& coefficient) {
    if (flow.receive(1) != 0) coefficient = static_cast<std::int16_t>(coefficient + (coefficient > 0 ? step : -step));
  };
  int k = start;
  while (eobrun == 0 && k <= end) {
    flow.bits.refill();
    const Symbol symbol = code.decode(flow.bits.window());
    if (symbol.length == 0) {
      state.status = BlockStatus::bad_code;
      return;
    }
    flow.receive(symbol.length);
    const int size = symbol.value % 16;
    int run = symbol.value / 16;
    if (size > 1) {
      state.status = BlockStatus::bad_code;
      return;
    }
    if (size == 0 && run < 15) {
      eobrun = (1u << run) + (run == 0 ? 0 : flow.receive(run));
      break;
    }
    const int value = size == 0 ? 0 : flow.receive(1) != 0 ? step : -step;
    for (; k <= end; ++k) {
      std::int16_t& coefficient = state.block[zigzag_to_natural[static_cast<std::size_t>(k)]];
      if (coefficient != 0) {
        correct(coefficient);
      } else if (run-- == 0) {
        coefficient = static_cast<std::int16_t>(value);
        if (value != 0) state.nonzero |= std::uint64_t{1} << k;
        break;
      }
    }
    if (k > end && value != 0) state.status = BlockStatus::past_band;
    ++k;
  }
  if (eobrun != 0) {
    for (; k <= end; ++k) {
      std::int16_t& coefficient = state.block[zigzag_to_natural[static_cast<std::size_t>(k)]];
      if (coefficient != 0) correct(coefficient);
    }
    --eobrun;
  }
  state.consumed = flow.bits.consumed_bits();
}

// Codes for runs with and without a new coefficient, EOB0 and longer EOB runs, and a symbol that is invalid in
// refinement.
HuffmanSpec spec() {
  HuffmanSpec result;
  const std::uint8_t symbols[] = {0x01, 0x11, 0x00, 0xF0, 0x21, 0x20, 0x81, 0xE0, 0xF1, 0x02};
  result.counts[2] = 1;
  result.counts[3] = 2;
  result.counts[4] = 3;
  result.counts[5] = 2;
  result.counts[12] = 2;
  std::copy(std::begin(symbols), std::end(symbols), result.symbols.begin());
  return result;
}

void word_wise_equals_coefficient_wise(std::mt19937& random, const HuffmanCode& code, RefineBlock refine, int& completed) {
  std::vector<std::uint8_t> bytes(300);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random() % 255);  // no 0xFF: nothing is stuffed
  SegmentReader reader(bytes);
  const EntropySegment segment = reader.read(0);
  const int start = 1 + static_cast<int>(random() % 63);
  const int end = start + static_cast<int>(random() % static_cast<unsigned>(64 - start));
  State state;
  state.refinement = {.al = static_cast<int>(random() % 4), .band = 0, .eobrun = random() % 8 == 0 ? 3u : 0u};
  for (int k = start; k <= end; ++k) state.refinement.band |= std::uint64_t{1} << k;
  const unsigned density = 1 + static_cast<unsigned>(random() % 8);
  for (int k = 1; k < 64; ++k) {
    if (random() % 8 >= density) continue;
    const int value = (1 + static_cast<int>(random() % 50)) << (state.refinement.al + 1);
    const bool positive = random() % 2 == 0;
    state.block[zigzag_to_natural[static_cast<std::size_t>(k)]] = static_cast<std::int16_t>(positive ? value : -value);
    state.nonzero |= std::uint64_t{1} << k;
  }
  State expected = state;
  refine_slowly(expected, code, segment, start, end);
  BitReader bits(segment);
  state.status = refine(state.refinement, code, bits, state.block, state.nonzero);
  state.consumed = bits.consumed_bits();
  completed += state.status == BlockStatus::ok;
  check(agree(state, expected), "a block refined");
}

}  // namespace

int main() {
  std::mt19937 random(30030);
  const auto code = HuffmanCode::make(spec(), HuffmanClass::ac);
  check(code.has_value(), "code");
  int completed = 0;
  for (int i = 0; i < 20000; ++i) {
    word_wise_equals_coefficient_wise(random, *code, portable_refine_block(), completed);
    word_wise_equals_coefficient_wise(random, *code, best_refine_block(), completed);
  }
  check(completed > 10000, "most blocks are complete");
  std::printf("%d checks, %d complete blocks\n", checks, completed);
  return 0;
}
