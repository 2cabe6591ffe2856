// The store of planes: what it gives fits, what it keeps is bounded, and many threads may use it at once.
#include "jpeg/plane_pool.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <utility>
#include <vector>

namespace {

using prepixel::Block;
using prepixel::Blocks;
using prepixel::PlaneStore;

void expect(bool promise, const char* text) {
  if (promise) return;
  std::fprintf(stderr, "broken promise: %s\n", text);
  std::abort();
}

bool is_zero(const Blocks& blocks) {
  return std::ranges::all_of(blocks, [](const Block& block) { return block == Block{}; });
}

void test_fit() {
  for (const PlaneStore::Fit fit : {PlaneStore::Fit::any, PlaneStore::Fit::close}) {
    PlaneStore store(fit);
    auto [plane, used] = store.take(1000);
    expect(plane.size() == 1000 && !used && is_zero(plane), "a new plane is zero");
    const Block* memory = plane.data();
    plane[999][63] = 7;
    store.give_back(std::move(plane));
    expect(store.bytes() == 1000 * sizeof(Block), "what is given back is kept");
    expect(store.take(1001).blocks.data() != memory, "a plane is never smaller than asked for");
    const PlaneStore::Plane small = store.take(100);
    expect((small.blocks.data() == memory) == (fit == PlaneStore::Fit::any), "a close fit does not waste a large plane");
    const PlaneStore::Plane close = store.take(800);
    expect((close.blocks.data() == memory) == (fit == PlaneStore::Fit::close), "a plane is given away once");
    expect(small.used != close.used, "a plane that was used says so");
    expect(close.blocks.size() == 800 && small.blocks.size() == 100, "sizes are those asked for");
    expect(store.bytes() == 0, "what is taken is not kept");
  }
}

void test_bounds() {
  PlaneStore store(PlaneStore::Fit::any, 1000 * sizeof(Block));
  store.give_back(Blocks(999));
  store.give_back(Blocks(PlaneStore::most_bytes / sizeof(Block) + 1));
  store.give_back(Blocks());
  expect(store.bytes() == 0, "planes too small or too large are not kept");
  const std::size_t half = PlaneStore::most_bytes / sizeof(Block) / 2;
  for (std::size_t i = 0; i < 5; ++i) {
    store.give_back(Blocks(half - i));
    expect(store.bytes() <= PlaneStore::most_bytes, "all planes together are bounded");
  }
  expect(store.bytes() == (half - 3 + half - 4) * sizeof(Block), "the oldest planes go");
  for (std::size_t i = 0; i < 200; ++i) store.give_back(Blocks(1000));
  expect(store.bytes() <= 64 * 1000 * sizeof(Block), "few planes are kept, so that finding one is cheap");
}

void test_threads() {
  PlaneStore store(PlaneStore::Fit::close);
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&store, t] {
      for (int i = 0; i < 2000; ++i) {
        Blocks plane = store.take(static_cast<std::size_t>(10 + (i * 7 + t) % 5)).blocks;
        const auto mark = static_cast<std::int16_t>(4 * i + t);
        for (Block& block : plane) block.fill(mark);
        for (const Block& block : plane) expect(block.front() == mark && block.back() == mark, "a plane has one owner");
        store.give_back(std::move(plane));
      }
    });
  }
  threads.clear();
  expect(store.bytes() <= PlaneStore::most_bytes, "bounded after all");
}

}  // namespace

int main() {
  test_fit();
  test_bounds();
  test_threads();
  std::puts("plane store: fit, bounds, threads");
  return 0;
}
