// libFuzzer target: uncompressed packed images, without verifying the checksum, and JPEGs, which are packed first. Spectra
// of packed planes must equal those of the unpacked blocks. Seeds: .ci/fuzz.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "packed/pack.hpp"
#include "packed/packed_image.hpp"
#include "jpeg/decoder.hpp"
#include "spectrum/resampler.hpp"
#include "tests/low_frequencies.hpp"

namespace {

using prepixel::Bytes;

constexpr prepixel::Limits limits{.max_pixels = 1u << 16, .max_memory_bytes = 1u << 24, .max_scans = 50};

void compare(const Bytes& header, const Bytes& payload) {
  const prepixel::PackedImage packed = prepixel::read_pack(header, payload, limits, false);
  const prepixel::Image image = prepixel::unpack(packed);
  if (!prepixel::is_linear(image.color)) return;
  const prepixel::SpectrumRequest request = prepixel::low_frequencies(3);
  std::vector<float> planes(request.num_values()), blocks(request.num_values());
  prepixel::DctResampler maker(request);
  maker.make(prepixel::view_of(packed), {}, planes.data());
  maker.make(prepixel::view_of(image), {}, blocks.data());
  for (std::size_t i = 0; i < planes.size(); ++i)
    if (planes[i] != blocks[i]) std::abort();  // zeros may differ in their sign
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::uint8_t> file(data, size);
  try {
    if (!prepixel::begins_like_pack(file)) {
      const std::uint64_t drawn = size == 0 ? 0 : data[size - 1] * 0x0101010101010101u;
      const prepixel::PackParts parts =
          prepixel::pack(prepixel::decode(file, {.limits = limits}), {~drawn, drawn | 1, 1}, limits);
      compare(parts.header, parts.payload);
      return 0;
    }
    // Exact copies on the heap, so that the sanitizer detects a read past the end.
    const std::size_t split = prepixel::read_pack_header(file, limits).header_bytes;
    if (split > size) return 0;
    compare(Bytes(data, data + split), Bytes(data + split, data + size));
  } catch (const prepixel::JpegFault&) {
  }
  return 0;
}
