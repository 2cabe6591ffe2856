// What holds of any file and any index: shared by native/fuzz/index.cpp and native/tests/index_hostile.cpp.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "index/jpeg_index.hpp"
#include "jpeg/decoder.hpp"
#include "jpeg/region.hpp"

namespace prepixel {

inline void promise(bool kept, const char* text) {
  if (kept) return;
  std::fprintf(stderr, "broken promise: %s\n", text);
  std::abort();
}

inline bool same_blocks(const Image& a, const Image& b) {
  if (a.components.size() != b.components.size()) return false;
  for (std::size_t i = 0; i < a.components.size(); ++i) {
    const Blocks &x = a.components[i].blocks, &y = b.components[i].blocks;
    if (x.size() != y.size() || std::memcmp(x.data(), y.data(), x.size() * sizeof(Block)) != 0) return false;
  }
  return true;
}

inline std::optional<Image> decoded(std::span<const std::uint8_t> file, const DecodeOptions& options) {
  try {
    return decode(file, options);
  } catch (const JpegFault& fault) {
    promise(fault.byte_offset == no_offset || fault.byte_offset <= file.size(), "a fault's place is in the file");
    return std::nullopt;
  }
}

// Whether the index was used for the whole file. Read with it whole, by one thread and by several, a file gives what it
// gives without it, or says that the index was not used; read in part, it gives something. With its true index, a part is
// the whole file's.
inline bool check_pair(std::span<const std::uint8_t> file, const FileCheckpoints& known, const Limits& limits,
                       std::uint64_t drawn, bool is_true) {
  const std::optional<Image> plain = decoded(file, {.limits = limits});
  bool used = false;
  for (const int threads : {1, 2}) {
    const std::optional<Image> whole =
        decoded(file, {.limits = limits, .checkpoints = &known, .num_threads = threads});
    if (!whole) {
      promise(!plain, "a file that is read without an index is read with one");
      continue;
    }
    used = !whole->checkpoints_refused;
    if (is_true) promise(used, "a file's own index is used");
    promise(used || plain, "a file that is not read without an index is not read without one");
    if (plain) promise(same_blocks(*plain, *whole), "blocks are those of the file read without an index");
  }
  static PlanePool planes(PlanePool::Fit::any);  // which hold what other files left there
  Region region;
  const auto regions = [&](const Image& frame) {
    const auto below = [&](int end, int shift) { return static_cast<int>((drawn >> shift) % static_cast<unsigned>(end)); };
    region.top = below(frame.height, 0);
    region.left = below(frame.width, 16);
    region.height = 1 + below(frame.height - region.top, 32);
    region.width = 1 + below(frame.width - region.left, 48);
    region = aligned(region, frame);
    return blocks_of(region, frame);
  };
  std::optional<Image> part = decoded(file, {.limits = limits,
                                             .regions = regions,
                                             .holds_regions = drawn / 2 % 2 == 1,
                                             .checkpoints = &known,
                                             .num_threads = 1 + static_cast<int>(drawn % 2),
                                             .planes = &planes});
  if (!part) return used;
  if (is_true && plain) {
    const Image of_whole = crop(Image(*plain), region), own = crop(Image(*part), region);
    promise(same_blocks(own, of_whole), "a part's blocks are the file's");
  }
  for (Component& component : part->components) planes.release(std::move(component.blocks));
  return used;
}

}  // namespace prepixel
