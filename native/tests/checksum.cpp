// Print checksums of files, coefficients, packed bytes and spectra of generated images. All compilers and processors must
// print the same, and all instruction sets of this machine must give the same spectra.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include "jpeg/bandlimit.hpp"
#include "jpeg/decoder.hpp"
#include "packed/pack.hpp"
#include "packed/packed_image.hpp"
#include "packed/xxh64.hpp"
#include "spectrum/resampler.hpp"
#include "tests/low_frequencies.hpp"

namespace {

using namespace prepixel;

struct Checksum {
  std::uint64_t value = 0;
  void add(const void* data, std::size_t size) { value = xxh64({static_cast<const std::uint8_t*>(data), size}, value); }
};

Checksum file_sum, coefficient_sum, packed_sum, spectrum_sum;

struct Source {
  Bytes file;
  double height;
  double width;
};

Source make_source(std::mt19937& random) {
  const int height = 8 + static_cast<int>(random() % 150), width = 8 + static_cast<int>(random() % 150);
  EncoderInput image;
  image.height = height;
  image.width = width;
  image.color = random() % 4 == 0 ? Color::rgb : Color::ycbcr;
  image.restart_rows = static_cast<int>(random() % 3);
  std::vector<EncoderPlane> planes(3);
  planes[0].sampling_v = 1 + static_cast<int>(random() % 2);
  planes[0].sampling_h = 1 + static_cast<int>(random() % 2);
  const FrameGeometry geometry(height, width, planes);
  std::vector<std::vector<std::int16_t>> coefficients;
  for (std::size_t i = 0; i < planes.size(); ++i) {
    EncoderPlane& plane = planes[i];
    const PlaneSize size = geometry.plane(plane.sampling_v, plane.sampling_h);
    plane.identifier = static_cast<std::uint8_t>(i + 1);
    plane.blocks_down = size.blocks_down;
    plane.blocks_across = size.blocks_across;
    for (std::uint16_t& step : plane.quantization) step = static_cast<std::uint16_t>(1 + random() % 60);
    std::vector<std::int16_t>& values = coefficients.emplace_back(64 * static_cast<std::size_t>(size.num_blocks()));
    const auto share = static_cast<unsigned>(1 + random() % 12);
    for (std::int16_t& value : values)
      if (random() % share == 0) value = static_cast<std::int16_t>(static_cast<int>(random() % 401) - 200);
    plane.quantized = values.data();
  }
  image.planes = planes;
  return {encode(image, {}), static_cast<double>(height), static_cast<double>(width)};
}

void expect_same(const std::vector<float>& a, const std::vector<float>& b, const char* what) {
  if (std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0) return;
  std::fprintf(stderr, "failed: %s\n", what);
  std::exit(1);
}

// Spectra by every instruction set that this machine has.
void add_spectra(const ImageView& view, const UprightCrop& crop, Filter filter) {
  SpectrumRequest request = low_frequencies(4);
  request.grid_down = 5;
  request.grid_across = 7;
  request.filter = filter;
  std::vector<float> first;
  for (const Simd level : simd_levels) {
    if (!has_simd(level)) continue;
    request.simd = level;
    std::vector<float> values(request.num_values());
    DctResampler(request).make(view, crop, values.data());
    if (first.empty()) first = values;
    expect_same(first, values, "all instruction sets give the same bits");
  }
  for (float& value : first) value += 0.0f;  // packed planes may leave -0 where blocks leave +0
  spectrum_sum.add(first.data(), first.size() * sizeof(float));
}

}  // namespace

int main() {
  std::mt19937 random(20020);
  for (int i = 0; i < 60; ++i) {
    const Source source = make_source(random);
    file_sum.add(source.file.data(), source.file.size());
    const PooledImage image(source.file, {});
    for (const Component& component : image->components)
      coefficient_sum.add(component.blocks.data(), component.blocks.size() * sizeof(Block));
    const PackParts parts = pack(*image, {0x0F0F0F0F, 0x0303, 0x0103}, {});
    packed_sum.add(parts.header.data(), parts.header.size());
    packed_sum.add(parts.payload.data(), parts.payload.size());
    const Bytes limited = bandlimit(source.file, {.kept = {0x0F0F, 0x0303, 1}, .restart_interval = {}}, {});
    file_sum.add(limited.data(), limited.size());
    const double top = random() % 100 / 300.0 * source.height, left = random() % 100 / 300.0 * source.width;
    const Box box{top, left, source.height * 0.6, source.width * 0.6};
    constexpr Padding paddings[] = {Padding::none, Padding::constant, Padding::edge, Padding::reflect,
                                    Padding::symmetric};
    UprightCrop crop{.box = box, .flip = i % 3 == 0, .turns = i, .padding = paddings[i % 5], .fill = {200, 31, 77}};
    if (crop.padding != Padding::none) crop.box->top -= source.height * 0.2, crop.box->width *= 1.5;
    const Filter filter = i % 2 == 0 ? Filter::bilinear : Filter::bicubic;
    add_spectra(view_of(*image), crop, filter);
    add_spectra(view_of(read_pack(parts.header, parts.payload, {})), crop, filter);
  }
  const std::pair<const char*, Checksum> sums[] = {
      {"files", file_sum}, {"coefficients", coefficient_sum}, {"packed", packed_sum}, {"spectra", spectrum_sum}};
  for (const auto& [name, sum] : sums) std::printf("%-12s %016llx\n", name, static_cast<unsigned long long>(sum.value));
  return 0;
}
