// The pool of planes: size of acquired planes, bounds of the pool, use by many threads.
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
using prepixel::PlanePool;

void expect(bool holds, const char* text) {
  if (holds) return;
  std::fprintf(stderr, "failed: %s\n", text);
  std::abort();
}

bool is_zero(const Blocks& blocks) {
  return std::ranges::all_of(blocks, [](const Block& block) { return block == Block{}; });
}

void test_fit() {
  for (const PlanePool::Fit fit : {PlanePool::Fit::any, PlanePool::Fit::close}) {
    PlanePool pool(fit);
    auto [plane, used] = pool.acquire(1000);
    expect(plane.size() == 1000 && !used && is_zero(plane), "a new plane is zero");
    const Block* memory = plane.data();
    plane[999][63] = 7;
    pool.release(std::move(plane));
    expect(pool.bytes() == 1000 * sizeof(Block), "a released plane is kept");
    expect(pool.acquire(1001).blocks.data() != memory, "a plane is never smaller than asked for");
    const PlanePool::Plane small = pool.acquire(100);
    expect((small.blocks.data() == memory) == (fit == PlanePool::Fit::any), "a close fit does not waste a large plane");
    const PlanePool::Plane close = pool.acquire(800);
    expect((close.blocks.data() == memory) == (fit == PlanePool::Fit::close), "a plane is acquired once");
    expect(small.used != close.used, "a plane that was used says so");
    expect(close.blocks.size() == 800 && small.blocks.size() == 100, "sizes are those asked for");
    expect(pool.bytes() == 0, "an acquired plane is not in the pool");
  }
}

void test_bounds() {
  PlanePool pool(PlanePool::Fit::any, 1000 * sizeof(Block));
  pool.release(Blocks(999));
  pool.release(Blocks(PlanePool::most_bytes / sizeof(Block) + 1));
  pool.release(Blocks());
  expect(pool.bytes() == 0, "planes too small or too large are not kept");
  const std::size_t half = PlanePool::most_bytes / sizeof(Block) / 2;
  for (std::size_t i = 0; i < 5; ++i) {
    pool.release(Blocks(half - i));
    expect(pool.bytes() <= PlanePool::most_bytes, "all planes together are bounded");
  }
  expect(pool.bytes() == (half - 3 + half - 4) * sizeof(Block), "the oldest planes go");
  for (std::size_t i = 0; i < 200; ++i) pool.release(Blocks(1000));
  expect(pool.bytes() <= 64 * 1000 * sizeof(Block), "few planes are kept, so that finding one is cheap");
}

void test_threads() {
  PlanePool pool(PlanePool::Fit::close);
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&pool, t] {
      for (int i = 0; i < 2000; ++i) {
        Blocks plane = pool.acquire(static_cast<std::size_t>(10 + (i * 7 + t) % 5)).blocks;
        const auto mark = static_cast<std::int16_t>(4 * i + t);
        for (Block& block : plane) block.fill(mark);
        for (const Block& block : plane) expect(block.front() == mark && block.back() == mark, "a plane has one owner");
        pool.release(std::move(plane));
      }
    });
  }
  threads.clear();
  expect(pool.bytes() <= PlanePool::most_bytes, "bounded after all");
}

}  // namespace

int main() {
  test_fit();
  test_bounds();
  test_threads();
  std::puts("plane pool: fit, bounds, threads");
  return 0;
}
