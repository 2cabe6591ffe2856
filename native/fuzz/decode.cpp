// libFuzzer target: decode any bytes under both policies. Seeds: .ci/fuzz.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "jpeg/decoder.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const prepixel::Limits limits{.max_pixels = 1u << 20, .max_memory_bytes = 1u << 24, .max_scans = 50};
  for (const bool keep : {false, true}) {
    try {
      const prepixel::Image image = prepixel::decode({data, size}, {.limits = limits, .keep_truncated = keep});
      if (!keep && image.missing_blocks != 0) std::abort();
    } catch (const prepixel::JpegFault& fault) {
      if (fault.byte_offset > size) std::abort();
    }
  }
  return 0;
}
