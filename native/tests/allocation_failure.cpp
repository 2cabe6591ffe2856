// Out of memory at every allocation: decoding, batch reading, packing, encoding and band-limiting each run with the k-th
// allocation failing, for k = 1, 2, ... until none fails. Every failure is std::bad_alloc, or the outcome out_of_memory of
// an image of a batch; never std::terminate. LeakSanitizer detects leaks. Linked with --wrap=calloc.
//
// Usage: allocation_failure [FILE_OR_FOLDER...]: more JPEGs, beside the generated ones.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "batch/open_images.hpp"
#include "jpeg/bandlimit.hpp"
#include "packed/pack.hpp"
#include "packed/packed_image.hpp"
#include "tests/low_frequencies.hpp"

namespace {

// Number of allocations that still succeed; negative: all. After them one allocation fails, or all do.
std::atomic<long> allocations_left{-1};
std::atomic<bool> fail_all{false};
std::atomic<long> failures{0};

bool fails() {
  if (allocations_left.load(std::memory_order_relaxed) < 0) return false;
  const long left = allocations_left.fetch_sub(1);
  if (left > 0) return false;
  if (fail_all) allocations_left = 0;
  ++failures;
  return true;
}

void* allocate(std::size_t size, std::size_t alignment) {
  if (fails()) return nullptr;
  size = (std::max<std::size_t>(size, 1) + alignment - 1) / alignment * alignment;
  return alignment <= alignof(std::max_align_t) ? std::malloc(size) : std::aligned_alloc(alignment, size);
}

void* allocate_or_throw(std::size_t size, std::size_t alignment) {
  void* memory = allocate(size, alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

extern "C" void* __real_calloc(std::size_t count, std::size_t size);
extern "C" void* __wrap_calloc(std::size_t count, std::size_t size) { return fails() ? nullptr : __real_calloc(count, size); }

void* operator new(std::size_t size) { return allocate_or_throw(size, 1); }
void* operator new[](std::size_t size) { return allocate_or_throw(size, 1); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate_or_throw(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return allocate_or_throw(size, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocate(size, 1); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return allocate(size, 1); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace {

using namespace prepixel;

void expect(bool holds, const std::string& what) {
  if (holds) return;
  allocations_left = -1;
  std::fprintf(stderr, "failed: %s\n", what.c_str());
  std::exit(1);
}

long num_runs = 0;

// How `work` may succeed although an allocation fails: by releasing memory and retrying, or because the allocation was for
// an additional thread.
enum class Recovery { none, one, threads };

// `work` returns whether there was enough memory.
template <class Work>
void at_every_allocation(const std::string& name, Recovery recovery, const Work& work) {
  work();
  for (const bool all : {false, true}) {
    long k = 0;
    for (;; ++k) {
      release_memory();
      fail_all = all;
      failures = 0;
      allocations_left = k;
      bool sufficed = false;
      try {
        sufficed = work();
      } catch (const std::bad_alloc&) {
      }
      allocations_left = -1;
      ++num_runs;
      if (failures == 0) break;
      expect(!sufficed || recovery == Recovery::threads || (!all && recovery == Recovery::one), name + " succeeds although allocation " + std::to_string(k) + " fails");
      expect(k < 100000, name + " ends");
    }
    expect(k > 0, name + " allocates");
  }
}

std::vector<std::int16_t> coefficients(int down, int across, std::mt19937& random) {
  std::vector<std::int16_t> plane(64 * static_cast<std::size_t>(down * across));
  for (std::size_t i = 0; i < plane.size(); ++i)
    if (random() % 3 == 0) plane[i] = static_cast<std::int16_t>(static_cast<int>(random() % 61) - 30);
  return plane;
}

Bytes encoded(std::mt19937& random) {
  const std::vector<std::int16_t> luma = coefficients(6, 8, random), blue = coefficients(3, 4, random),
                                  red = coefficients(3, 4, random);
  EncoderInput image;
  image.height = 41;
  image.width = 59;
  image.restart_rows = 1;
  image.planes = {{1, 2, 2, 6, 8, luma.data(), {}}, {2, 1, 1, 3, 4, blue.data(), {}}, {3, 1, 1, 3, 4, red.data(), {}}};
  for (EncoderPlane& plane : image.planes) plane.quantization.fill(7);
  return encode(image, {});
}

void run(const std::string& name, const Bytes& file) {
  const auto decodes = [&] {
    try {
      decode(file, {});
    } catch (const JpegFault&) {
      return false;
    }
    return true;
  };
  for (const bool keep : {false, true})
    at_every_allocation(name + " decoded", Recovery::one, [&] {
      try {
        const PooledImage image(file, {.keep_truncated = keep});
      } catch (const JpegFault&) {
      }
      return true;
    });
  const SpectrumRequest request = low_frequencies(3);
  const std::vector<Input> inputs(3, Input{.bytes = file, .path = {}});
  std::vector<float> values(inputs.size() * request.num_values());
  std::vector<ReadTask> tasks;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    tasks.push_back({.image = i, .grid_down = request.grid_down, .grid_across = request.grid_across,
                     .out = values.data() + i * request.num_values()});
  const auto sufficed = [&](const std::vector<Outcome>& outcomes) {
    for (const Outcome& outcome : outcomes)
      expect(outcome.status != Status::internal && outcome.status != Status::refused &&
                 outcome.status != Status::unreadable,
             name + ": want of memory is neither the caller's fault nor the library's");
    return std::ranges::none_of(outcomes, [](const Outcome& outcome) { return outcome.status == Status::out_of_memory; });
  };
  for (const int threads : {1, 3})
    at_every_allocation(name + " read in a batch", threads == 1 ? Recovery::one : Recovery::threads, [&] {
      const OpenImages images(inputs, {}, threads);
      return sufficed(images.opened()) && sufficed(images.read(tasks, request, {.num_threads = threads}));
    });
  at_every_allocation(name + "'s size", Recovery::threads, [&] {
    return std::ranges::all_of(read_sizes(inputs, {}, 2),
                               [](const Outcome& outcome) { return outcome.status != Status::out_of_memory; });
  });
  if (!decodes()) return;
  at_every_allocation(name + " packed", Recovery::one, [&] {
    const PackParts parts = pack(*PooledImage(file, {}), {0x0F0F0F0F, 0x0303, 1}, {});
    const OpenImages images({{.bytes = parts.header, .path = {}}}, {}, 2);
    ReadTask task = tasks[0];
    task.header = parts.header;
    task.payload = parts.payload;
    return sufficed(images.opened()) && sufficed(images.read({&task, 1}, request, {.num_threads = 2}));
  });
  at_every_allocation(name + " band-limited", Recovery::one, [&] {
    bandlimit(file, {.kept = {0x0F0F, 0x0303, 1}, .restart_interval = {}}, {});
    return true;
  });
}

Bytes read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Memory that is kept for reuse is freed on request, and when an allocation fails.
void release_kept_memory(const Bytes& file) {
  { const PooledImage image(file, {}); }
  expect(reusable_bytes() > 0, "planes are kept");
  release_memory();
  expect(reusable_bytes() == 0, "planes are released");
  { const PooledImage image(file, {}); }
  fail_all = false;
  allocations_left = 0;
  const Blocks blocks(10);
  expect(allocations_left.exchange(-1) < 0 && reusable_bytes() == 0 && blocks.size() == 10,
         "a failing allocation releases planes and is tried again");
  for (const Block& block : blocks) expect(block == Block{}, "a plane is zero");
}

}  // namespace

int main(int argc, char** argv) {
  std::mt19937 random(20020);
  const Bytes made = encoded(random);
  release_kept_memory(made);
  run("a JPEG", made);
  Bytes damaged = made;
  damaged.resize(damaged.size() * 2 / 3);
  run("a truncated JPEG", damaged);
  at_every_allocation("encoding", Recovery::none, [&] {
    std::mt19937 same(1);
    return !encoded(same).empty();
  });
  for (int i = 1; i < argc; ++i) {
    if (!std::filesystem::is_directory(argv[i])) {
      run(argv[i], read(argv[i]));
      continue;
    }
    for (const auto& entry : std::filesystem::directory_iterator(argv[i]))
      if (entry.path().extension() == ".jpg") run(entry.path().filename().string(), read(entry.path()));
  }
  std::printf("allocation failure: %ld runs\n", num_runs);
  return 0;
}
