// libFuzzer target: an index, its checksum left out so that what is behind it is met, and the JPEG behind it; or a JPEG
// alone, which is indexed first. .ci/fuzz seeds it.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "index/embedded_index.hpp"
#include "tests/index_pairs.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace prepixel;
  constexpr Limits limits{.max_pixels = 1u << 16, .max_memory_bytes = 1u << 24, .max_scans = 50};
  const std::span<const std::uint8_t> input(data, size);
  std::uint64_t drawn = size;
  for (std::size_t i = size > 16 ? size - 16 : 0; i < size; ++i) drawn = drawn * 0x9E3779B97F4A7C15u + data[i];
  constexpr std::array<std::uint8_t, 3> begin = {0xFF, 0xD8, 0xFF};
  const auto split = static_cast<std::size_t>(std::search(input.begin(), input.end(), begin.begin(), begin.end()) - input.begin());
  // Exact copies on the heap: one byte read past the end is one the sanitizer sees.
  const std::vector<std::uint8_t> front(data, data + split), file(data + split, data + size);
  try {
    if (split != 0) {
      const JpegIndex index = read_index(front, false);
      promise(read_index(write_index(index)).scans.size() == index.scans.size(), "what is read can be written");
      check_pair(file, index.scans, limits, drawn, false);
      return 0;
    }
    const JpegIndex index = index_jpeg(file, limits, static_cast<int>(drawn >> 60));
    promise(read_index(write_index(index)).scans.size() == index.scans.size(), "what is written can be read");
    check_pair(file, index.scans, limits, drawn, true);
    const std::vector<std::uint8_t> held = embed_index(file, limits, 3);
    promise(is_index_of(read_index(embedded_index(held)), held), "an embedded index is its file's");
    promise(without_index(held) == without_index(file), "an embedded index can be taken out");
  } catch (const JpegFault& fault) {
    promise(fault.kind == Fault::index || !decoded(file, {.limits = limits}), "what can be decoded can be indexed");
  }
  return 0;
}
