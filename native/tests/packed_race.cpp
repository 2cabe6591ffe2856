// A packed image whose buffer another thread changes after the check: no read or write leaves a buffer, whatever the bytes
// become. AddressSanitizer detects one that does. Not for ThreadSanitizer: the race is intended.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "packed/pack.hpp"
#include "packed/packed_image.hpp"
#include "simd/pack_kernels.hpp"
#include "spectrum/resampler.hpp"
#include "tests/low_frequencies.hpp"

namespace {

using namespace prepixel;

// Luma alone: escapes in frequency 1, sparse planes, and differences.
Image image_of(int side) {
  Image image;
  image.height = image.width = 8 * side;
  image.color = Color::gray;
  Component& component = image.components.emplace_back();
  component.height = component.width = 8 * side;
  component.blocks_down = component.blocks_across = side;
  component.quantization.fill(1);
  component.blocks = Blocks(static_cast<std::size_t>(side) * static_cast<std::size_t>(side));
  std::mt19937 random(20020);
  for (std::size_t b = 0; b < component.blocks.size(); ++b) {
    Block& block = component.blocks[b];
    block[0] = static_cast<std::int16_t>(random() % 2000);
    block[1] = b % 8 == 0 ? 1000 : 1;
    block[8] = static_cast<std::int16_t>(random() % 16 == 0 ? 300 : random() % 5 == 0);
    block[9] = static_cast<std::int16_t>(random() % 2000);
  }
  return image;
}

// Without a second thread: the bytes become the worst that they can be, after the check.
void change_all(const Image& image, std::uint8_t value) {
  PackParts parts = pack(image, {~0ull, 0, 0}, {});
  const Bytes header = parts.header;
  Bytes payload = parts.payload;
  const PackedImage packed = read_pack(header, payload, {});
  std::memset(payload.data(), value, payload.size());
  const Image out = unpack(packed);
  const SpectrumRequest request = low_frequencies(2);
  std::vector<float> values(request.num_values());
  DctResampler(request).make(view_of(packed), {}, values.data());
}

void change_meanwhile(const Image& image) {
  PackParts parts = pack(image, {~0ull, 0, 0}, {});
  const Bytes good = parts.payload, good_header = parts.header;
  std::atomic<bool> stop{false};
  std::jthread writer([&] {
    for (std::uint32_t k = 0; !stop;) {
      for (std::size_t i = 0; i + 4 <= parts.payload.size(); i += 3) {
        k = k * 1664525u + 1013904223u;
        const std::uint32_t value = k % 4096;
        std::memcpy(parts.payload.data() + i, &value, sizeof value);
      }
      for (std::size_t i = 24; i < parts.header.size(); ++i) parts.header[i] = static_cast<std::uint8_t>(k >> i % 24);
      std::memcpy(parts.payload.data(), good.data(), good.size());
      std::memcpy(parts.header.data(), good_header.data(), good_header.size());
    }
  });
  const SpectrumRequest request = low_frequencies(2);
  std::vector<float> values(request.num_values());
  long read = 0, refused = 0;
  for (int i = 0; i < 400; ++i) {
    try {
      const PackedImage packed = read_pack(parts.header, parts.payload, {.max_memory_bytes = 1u << 24}, false);
      unpack(packed);
      DctResampler(request).make(view_of(packed), {}, values.data());
      ++read;
    } catch (const JpegFault&) {
      ++refused;
    }
  }
  stop = true;
  std::printf("packed race: %ld read, %ld refused\n", read, refused);
}

}  // namespace

int main() {
  const Image image = image_of(61);
  for (const int value : {0x00, 0x01, 0x55, 0x7F, 0x80, 0xFF}) change_all(image, static_cast<std::uint8_t>(value));
  change_meanwhile(image);
  return 0;
}
