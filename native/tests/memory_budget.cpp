// Shares of a budget on many threads: together within the limit, an oversized one alone, and nobody waits for ever.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include "batch/memory_budget.hpp"

using prepixel::MemoryBudget;

namespace {

constexpr std::uint64_t limit = 1009;
constexpr unsigned num_threads = 8;
constexpr int num_rounds = 2000;

void expect(bool promise, const char* what) {
  if (promise) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

struct Counts {
  std::atomic<std::uint64_t> used{0};
  std::atomic<int> holders{0};
  std::atomic<int> shared{0};      // times that a share was held beside another
  std::atomic<int> oversized{0};
};

void hold(MemoryBudget::Share& share, std::uint64_t bytes, Counts& counts) {
  share.take(bytes);
  const std::uint64_t used = counts.used += bytes;
  const int holders = ++counts.holders;
  if (holders > 1) ++counts.shared;
  if (bytes > limit) ++counts.oversized;
  expect(used <= limit || used == bytes, "shares together exceed the limit");
  std::this_thread::yield();
  --counts.holders;
  counts.used -= bytes;
}

void run(unsigned seed, MemoryBudget& first, MemoryBudget& second, Counts& of_first, Counts& of_second) {
  std::mt19937 random(seed);
  for (int round = 0; round < num_rounds; ++round) {
    MemoryBudget::Share outer(first), inner(second);
    const std::uint64_t bytes = random() % 50 == 0 ? limit + 7 : 1 + random() % (limit / 3);
    hold(outer, bytes, of_first);
    hold(inner, 1 + random() % (limit / 3), of_second);
    if (round % 7 == 0) hold(inner, 1 + random() % (limit / 3), of_second);  // gives back what it held
  }
}

}  // namespace

int main() {
  MemoryBudget first(limit), second(limit);
  Counts of_first, of_second;
  {
    std::vector<std::jthread> threads;
    for (unsigned seed = 0; seed < num_threads; ++seed)
      threads.emplace_back([&, seed] { run(seed, first, second, of_first, of_second); });
  }
  expect(of_first.shared != 0 && of_second.shared != 0, "no two shares were held at a time");
  expect(of_first.oversized != 0, "no share was larger than the limit");
  std::puts("memory_budget: passed");
  return 0;
}
