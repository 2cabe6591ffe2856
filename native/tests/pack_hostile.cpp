// Packed images truncated at every byte and corrupted at random, without verifying the checksum, so that the checks after
// it are reached: every result is a valid image or a JpegFault. Built with the sanitizers in CI.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "packed/pack.hpp"
#include "packed/packed_image.hpp"
#include "simd/pack_kernels.hpp"
#include "spectrum/resampler.hpp"
#include "tests/low_frequencies.hpp"

namespace {

using prepixel::Bytes;

void expect(bool holds, const char* text) {
  if (holds) return;
  std::fprintf(stderr, "failed: %s\n", text);
  std::abort();
}

// Coefficients of every coding: small, with escapes, mostly escapes, zero.
prepixel::Image image_of(prepixel::Color color, int height, int width, std::mt19937_64& random) {
  prepixel::Image image;
  image.height = height;
  image.width = width;
  image.color = color;
  const int count = color == prepixel::Color::gray ? 1 : 3;
  for (int i = 0; i < count; ++i) {
    prepixel::Component& component = image.components.emplace_back();
    component.identifier = static_cast<std::uint8_t>(i);
    component.sampling_v = component.sampling_h = i == 0 && count == 3 ? 2 : 1;
    const int share = count == 3 && i != 0 ? 2 : 1;
    component.height = (height + share - 1) / share;
    component.width = (width + share - 1) / share;
    component.blocks_down = (component.height + 7) / 8;
    component.blocks_across = (component.width + 7) / 8;
    component.quantization.fill(static_cast<std::uint16_t>(i == 2 ? 300 : 3));
    component.blocks = prepixel::Blocks(static_cast<std::size_t>(component.blocks_down) *
                                        static_cast<std::size_t>(component.blocks_across));
    for (prepixel::Block& block : component.blocks) {
      for (std::size_t k = 0; k < 8; ++k) block[k] = static_cast<std::int16_t>(random() % 5);
      for (std::size_t k = 40; k < 64; ++k)
        if (random() % 4 == 0) block[k] = static_cast<std::int16_t>(random() % (k == 63 ? 300 : 100));
      if (random() % 16 == 0) block[1] = static_cast<std::int16_t>(random());
      block[9] = static_cast<std::int16_t>(random());
    }
  }
  return image;
}

struct Counts {
  long images = 0;
  long faults = 0;
};

void read(const Bytes& header, const Bytes& payload, Counts& counts) {
  // Exact copies on the heap, so that the sanitizer detects a read past the end.
  const Bytes head(header.begin(), header.end()), rest(payload.begin(), payload.end());
  const prepixel::Limits limits{.max_pixels = 1u << 22, .max_memory_bytes = 1u << 26, .max_scans = 1};
  try {
    const prepixel::PackedImage packed = prepixel::read_pack(head, rest, limits, false);
    const prepixel::Image image = prepixel::unpack(packed);
    for (const prepixel::Component& component : image.components)
      expect(component.blocks.size() == static_cast<std::size_t>(component.blocks_down) *
                                            static_cast<std::size_t>(component.blocks_across),
             "a plane has blocks_down x blocks_across blocks");
    const prepixel::SpectrumRequest request = prepixel::low_frequencies(2);
    std::vector<float> by_blocks(request.num_values());
    if (prepixel::is_linear(image.color))
      prepixel::DctResampler(request).make(prepixel::view_of(image), {}, by_blocks.data());
    ++counts.images;
  } catch (const prepixel::JpegFault& fault) {
    expect(fault.byte_offset == prepixel::no_offset || fault.byte_offset <= head.size(), "the offset of a fault is in the header");
    expect(fault.what()[0] != '\0' && !fault.hint.empty(), "a fault says what, and what to do");
    ++counts.faults;
  }
}

Bytes corrupt(Bytes bytes, std::mt19937_64& random) {
  const std::size_t changes = 1 + random() % 3;
  for (std::size_t i = 0; i < changes && !bytes.empty(); ++i) {
    std::uint8_t& byte = bytes[random() % bytes.size()];
    byte = random() % 2 == 0 ? static_cast<std::uint8_t>(byte ^ 1u << random() % 8) : static_cast<std::uint8_t>(random());
  }
  return bytes;
}

// Every level gives what the portable one does, at every length, and reads nothing after the end.
void compare_kernels(prepixel::Simd level, std::mt19937_64& random) {
  if (!prepixel::has_simd(level)) return;
  const prepixel::PackKernels &chosen = prepixel::pack_kernels(level), &portable = prepixel::portable_pack_kernels();
  for (std::size_t size = 0; size < 67; ++size) {
    Bytes bits(size);
    for (std::uint8_t& byte : bits) byte = static_cast<std::uint8_t>(random() & random());
    const std::size_t set = portable.count_bits(bits.data(), size);
    expect(chosen.count_bits(bits.data(), size) == set, "counted bits");
    Bytes values(set);
    for (std::uint8_t& value : values) value = static_cast<std::uint8_t>(random());
    std::vector<std::int8_t> a(8 * size, 1), b(8 * size, 2);
    const std::uint8_t* end = values.data() + set;
    expect(portable.expand_bits(bits.data(), size, values.data(), end, a.data()) == set, "values taken");
    expect(chosen.expand_bits(bits.data(), size, values.data(), end, b.data()) == set, "values taken at once");
    expect(a == b, "expanded bits");
    std::vector<std::int16_t> c(a.size(), 1), d(a.size(), 2), used_c(a.size(), 4), used_d(a.size(), 4);
    portable.widen(a.data(), a.size(), c.data());
    chosen.widen(a.data(), a.size(), d.data());
    expect(c == d && std::equal(a.begin(), a.end(), c.begin()), "widened values");
    std::vector<float> e(a.size(), 1.0f), f(a.size(), 2.0f);
    const bool any = portable.dequantize(c.data(), c.size(), 3.0f, e.data(), used_c.data());
    expect(any == (set != 0 && std::any_of(c.begin(), c.end(), [](std::int16_t v) { return v != 0; })), "any value");
    expect(chosen.dequantize(c.data(), c.size(), 3.0f, f.data(), used_d.data()) == any && e == f && used_c == used_d,
           "dequantized values");
  }
}

}  // namespace

int main() {
  std::mt19937_64 random(20020);
  for (const prepixel::Simd level : prepixel::simd_levels) compare_kernels(level, random);
  Counts cut, corrupted;
  for (const prepixel::Color color : {prepixel::Color::gray, prepixel::Color::ycbcr, prepixel::Color::rgb}) {
    const prepixel::Image image = image_of(color, 37, 53, random);
    for (const std::uint64_t kept : {0x0F0F0F0Full, ~0ull, 0ull}) {
      const prepixel::PackParts parts = prepixel::pack(image, {kept, kept & 0x303, kept}, {});
      for (std::size_t size = 0; size < parts.header.size(); ++size)
        read(Bytes(parts.header.begin(), parts.header.begin() + static_cast<std::ptrdiff_t>(size)), parts.payload, cut);
      for (std::size_t size = 0; size < parts.payload.size(); ++size)
        read(parts.header, Bytes(parts.payload.begin(), parts.payload.begin() + static_cast<std::ptrdiff_t>(size)), cut);
      expect(cut.images == 0, "a truncated pack is refused");
      for (int i = 0; i < 3000; ++i) {
        const bool in_header = i % 3 != 0;
        read(in_header ? corrupt(parts.header, random) : parts.header,
             in_header ? parts.payload : corrupt(parts.payload, random), corrupted);
      }
    }
  }
  expect(corrupted.images > 1000 && corrupted.faults > 1000, "both ends are met");
  std::printf("%ld truncated packs refused; %ld corruptions: %ld images, %ld faults\n", cut.faults, corrupted.images + corrupted.faults,
              corrupted.images, corrupted.faults);
  return 0;
}
