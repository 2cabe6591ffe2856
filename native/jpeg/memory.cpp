#include "jpeg/memory.hpp"

#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "jpeg/huffman_lookup.hpp"
#include "jpeg/plane_pool.hpp"
#include "jpeg/types.hpp"

namespace prepixel {

void release_memory() noexcept {
  pooled_image_planes().clear();
  array_planes().clear();
  release_huffman_tables();
}

std::size_t reusable_bytes() noexcept { return pooled_image_planes().bytes() + array_planes().bytes(); }

namespace {

// Ask for huge pages where the system gives them on demand: of a large plane, every page of 4 KiB would be a fault, which
// together took as long as decoding. Whether it is done changes nothing else.
void use_huge_pages([[maybe_unused]] void* start, [[maybe_unused]] std::size_t bytes) noexcept {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr std::size_t huge = std::size_t{2} << 20;
  if (bytes < 2 * huge) return;
  const std::uintptr_t begin = (reinterpret_cast<std::uintptr_t>(start) + huge - 1) / huge * huge;
  const std::uintptr_t end = (reinterpret_cast<std::uintptr_t>(start) + bytes) / huge * huge;
  if (begin < end) static_cast<void>(madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE));
#endif
}

}  // namespace

void* allocate_zeroed(std::size_t count, std::size_t element_bytes) {
  constexpr std::size_t line = 64;
  if (count > (std::numeric_limits<std::size_t>::max() - line) / element_bytes) throw std::bad_alloc();
  const std::size_t bytes = count * element_bytes + line;
  void* start = std::calloc(bytes, 1);
  if (start == nullptr) {
    release_memory();
    start = std::calloc(bytes, 1);
  }
  if (start == nullptr) throw std::bad_alloc();
  use_huge_pages(start, bytes);
  const auto address = reinterpret_cast<std::uintptr_t>(start);
  auto* aligned = static_cast<char*>(start) + (line - address % line);  // at least 16 bytes on: room for the pointer
  reinterpret_cast<void**>(aligned)[-1] = start;
  return aligned;
}

void free_zeroed(void* elements) noexcept { std::free(reinterpret_cast<void**>(elements)[-1]); }

void check_memory(const char* what, std::uint64_t bytes, const Limits& limits, std::size_t offset) {
  if (bytes <= limits.max_memory_bytes) return;
  throw JpegFault(Fault::limit, offset,
                  std::string(what) + " of " + std::to_string(bytes) + " bytes, more than " +
                      std::to_string(limits.max_memory_bytes),
                  "Raise Limits.max_memory_bytes if you trust the file");
}

}  // namespace prepixel
