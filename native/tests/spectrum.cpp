// The spectrum pipeline in extreme cases, under the sanitizers: random planes, boxes at the edges and slivers, extreme
// scales both ways, every orientation, turn and padding, one-pixel images, hostile requests. Values are checked where that needs no
// second implementation: constants, bounds, equality across instruction sets.
#include "spectrum/resampler.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <stdexcept>
#include <vector>

namespace {

using prepixel::Box;
using prepixel::Color;
using prepixel::ImageView;
using prepixel::Simd;
using prepixel::SpectrumRequest;
using prepixel::UprightCrop;

void expect(bool holds, const char* text) {
  if (holds) return;
  std::fprintf(stderr, "failed: %s\n", text);
  std::abort();
}

std::mt19937 generator(20251);

int between(int low, int high) { return std::uniform_int_distribution(low, high)(generator); }
double fraction() { return std::uniform_real_distribution(0.0, 1.0)(generator); }

// Planes on the heap, each of exactly its size, so that the sanitizer detects an access past the end.
struct Planes {
  ImageView view;
  std::vector<std::unique_ptr<std::int16_t[]>> memory;
};

Planes make_planes(int height, int width, Color color, int orientation, int constant = -1) {
  Planes planes;
  planes.view = {height, width, orientation, color, {}};
  const int count = color == Color::gray ? 1 : 3;
  std::array<std::array<int, 2>, 3> factors{};
  int max_v = 1, max_h = 1;
  for (int c = 0; c < count; ++c) {
    factors[c] = {between(1, 4), between(1, 4)};
    max_v = std::max(max_v, factors[c][0]);
    max_h = std::max(max_h, factors[c][1]);
  }
  for (int c = 0; c < count; ++c) {
    prepixel::PlaneView plane;
    plane.sampling_v = factors[c][0];
    plane.sampling_h = factors[c][1];
    plane.height = (height * plane.sampling_v + max_v - 1) / max_v;
    plane.width = (width * plane.sampling_h + max_h - 1) / max_h;
    plane.blocks_down = (plane.height + 7) / 8;
    plane.blocks_across = (plane.width + 7) / 8;
    for (auto& step : plane.quantization)
      step = static_cast<std::uint16_t>(constant >= 0 ? 1 : between(0, 9) == 0 ? 65535 : between(1, 60));
    const std::size_t size = 64 * static_cast<std::size_t>(plane.blocks_down) * static_cast<std::size_t>(plane.blocks_across);
    planes.memory.push_back(std::make_unique<std::int16_t[]>(size));
    const int density = between(0, 8);
    for (std::size_t i = 0; i < size; ++i) {
      const bool set = constant < 0 && between(0, 8) < density;
      planes.memory.back()[i] = static_cast<std::int16_t>(set ? between(-32768, 32767) : 0);
      if (constant >= 0 && i % 64 == 0) planes.memory.back()[i] = static_cast<std::int16_t>(constant);
    }
    plane.blocks = planes.memory.back().get();
    planes.view.planes.push_back(plane);
  }
  return planes;
}

SpectrumRequest make_request(int grid_down, int grid_across, bool int8) {
  SpectrumRequest request;
  request.grid_down = grid_down;
  request.grid_across = grid_across;
  request.filter = between(0, 1) == 0 ? prepixel::Filter::bilinear : prepixel::Filter::bicubic;
  request.int8 = int8;
  const int count = between(1, 30);
  for (int f = 0; f < count; ++f) request.channels.push_back({between(0, 2), between(0, 7), between(0, 7)});
  request.factors.assign(static_cast<std::size_t>(count), 0.01f);
  request.offsets.assign(static_cast<std::size_t>(count), 0.5f);
  return request;
}

Box draw_box(double height, double width) {
  switch (between(0, 5)) {
    case 0: return {0, 0, height, width};
    case 1: return {height - 1e-3, width - 1e-3, 1e-3, 1e-3};
    case 2: return {-5e-7, -5e-7, height + 1e-6, width + 1e-6};
    case 3: return {height, width, 4e-7, 4e-7};   // outside the image, by less than the tolerance for rounding
    case 4: {
      const int top = between(0, static_cast<int>(height) - 1), left = between(0, static_cast<int>(width) - 1);
      return {top + 0.0, left + 0.0, 1.0 + between(0, static_cast<int>(height) - top - 1),
              1.0 + between(0, static_cast<int>(width) - left - 1)};
    }
    default: {
      const double top = fraction() * height, left = fraction() * width;
      return {top, left, std::max(1e-6, fraction() * (height - top)), std::max(1e-6, fraction() * (width - left))};
    }
  }
}

// Boxes across and beyond the edges of an image and of the part of it that is shown, which may be nothing.
UprightCrop draw_padded(int height, int width) {
  constexpr std::array kinds = {prepixel::Padding::constant, prepixel::Padding::edge, prepixel::Padding::reflect,
                                prepixel::Padding::symmetric};
  UprightCrop crop{.flip = between(0, 1) == 1, .turns = between(0, 3), .padding = kinds[between(0, 3)]};
  crop.box = Box{(3 * fraction() - 1.5) * height, (3 * fraction() - 1.5) * width, 1e-6 + 3 * fraction() * height,
                 1e-6 + 3 * fraction() * width};
  if (between(0, 2) == 0)
    crop.box = Box{between(-9, 9) + 0.0, between(-9, 9) + 0.0, between(1, 99) + 0.0, between(1, 99) + 0.0};
  if (between(0, 1) == 0) crop.shown = draw_box(height, width);
  if (between(0, 7) == 0 && crop.padding == prepixel::Padding::constant) crop.shown = Box{0, 0, 0, 0};
  crop.fill = {fraction() * 255, fraction() * 255, fraction() * 255};
  return crop;
}

// An exact buffer for each level; equal bits, finite, and every value written.
void run(const ImageView& image, SpectrumRequest request, const UprightCrop& crop) {
  const std::size_t size = request.num_values() * (request.int8 ? 1 : sizeof(float));
  std::vector<std::uint8_t> first;
  for (const Simd level : prepixel::simd_levels) {
    if (!prepixel::has_simd(level)) continue;
    request.simd = level;
    for (const std::uint8_t fill : {std::uint8_t{0x80}, std::uint8_t{0x7F}}) {
      const auto out = std::make_unique<std::uint8_t[]>(size);
      std::memset(out.get(), fill, size);
      prepixel::DctResampler(request).make(image, crop, out.get());
      if (first.empty()) first.assign(out.get(), out.get() + size);
      expect(std::memcmp(first.data(), out.get(), size) == 0, "all levels write every value, with the same bits");
    }
  }
  for (std::size_t i = 0; i < request.num_values(); ++i) {
    if (request.int8) {
      expect(static_cast<std::int8_t>(first[i]) != -128, "int8 stays within 127");
    } else {
      float value;
      std::memcpy(&value, first.data() + 4 * i, 4);
      expect(std::isfinite(value), "values are finite");
    }
  }
}

void random_images(int count) {
  constexpr std::array colors = {Color::gray, Color::ycbcr, Color::rgb};
  for (int i = 0; i < count; ++i) {
    const bool line = between(0, 3) == 0;
    const int height = line ? 1 : between(1, 90), width = between(1, 90);
    const Planes planes = make_planes(height, width, colors[between(0, 2)], between(1, 8));
    const bool turned = planes.view.orientation >= 5;
    const Box box = draw_box(turned ? width : height, turned ? height : width);
    const SpectrumRequest request = make_request(between(1, 20), between(1, 20), between(0, 1) == 1);
    run(planes.view, request, {.box = box, .flip = between(0, 1) == 1, .turns = between(-5, 5)});
    run(planes.view, request, draw_padded(turned ? width : height, turned ? height : width));
  }
}

void extreme_scales() {
  for (const auto& [height, width, down, across] : std::vector<std::array<int, 4>>{
           {1, 1, 4096, 1}, {1, 1, 1, 4096}, {1, 1, 300, 300}, {2, 65535, 1, 1}, {65535, 2, 1, 3},
           {1, 65535, 4096, 1}, {3000, 2000, 1, 1}, {2000, 3000, 2, 200}}) {
    const Planes planes = make_planes(height, width, Color::ycbcr, between(1, 4));
    run(planes.view, make_request(down, across, false), {.flip = true, .turns = between(0, 3)});
  }
}

void constants_stay_constant() {
  for (int i = 0; i < 200; ++i) {
    const int height = between(1, 60), width = between(1, 60);
    const Planes planes = make_planes(height, width, Color::ycbcr, between(1, 8), 100);
    const bool turned = planes.view.orientation >= 5;
    SpectrumRequest request;
    request.grid_down = between(1, 9);
    request.grid_across = between(1, 9);
    request.filter = between(0, 1) == 0 ? prepixel::Filter::bilinear : prepixel::Filter::bicubic;
    for (int k = 0; k < 64; ++k) request.channels.push_back({k % 3, k / 8, k % 8});
    request.factors.assign(64, 1.0f);
    request.offsets.assign(64, 0.0f);
    std::vector<float> out(request.num_values());
    // The whole image, because the padding of the last block holds the constant, too.
    const Box box{0, 0, turned ? width + 0.0 : height + 0.0, turned ? height + 0.0 : width + 0.0};
    prepixel::DctResampler(request).make(planes.view, {.box = box, .turns = i}, out.data());
    const std::size_t plane = request.num_values() / 64;
    for (std::size_t at = 0; at < out.size(); ++at)
      expect(std::abs(out[at] - (at / plane == 0 ? 100.0f : 0.0f)) < 1e-3f, "a constant image has DC alone");
  }
}

// A quarter turn exchanges the grid's sides and v with u, and reverses the rows of what was read and transposed: the
// same sums, so the same bits, but for the sign of 0.
void turns_are_those_of_the_result() {
  constexpr int down = 3, across = 5;
  for (int i = 0; i < 400; ++i) {
    constexpr std::array colors = {Color::gray, Color::ycbcr, Color::rgb};
    const Planes planes = make_planes(between(1, 60), between(1, 60), colors[between(0, 2)], between(1, 8));
    SpectrumRequest request = make_request(down, across, false);
    request.channels.clear();
    const int component = between(0, 2);
    for (int k = 0; k < 64; ++k) request.channels.push_back({component, k / 8, k % 8});
    request.factors.assign(64, 0.01f);
    request.offsets.assign(64, 0.0f);
    SpectrumRequest turned = request;
    std::swap(turned.grid_down, turned.grid_across);
    const bool flip = between(0, 1) == 1;
    const int turns = between(0, 3);
    std::vector<float> before(request.num_values()), after(request.num_values());
    prepixel::DctResampler(request).make(planes.view, {.flip = flip, .turns = turns}, before.data());
    prepixel::DctResampler(turned).make(planes.view, {.flip = flip, .turns = turns + 1}, after.data());
    for (int k = 0; k < 64; ++k)
      for (int row = 0; row < across; ++row)
        for (int column = 0; column < down; ++column) {
          const int from_row = (k % 8 * 8 + k / 8) * down + column;
          const float from = before[static_cast<std::size_t>(from_row * across + across - 1 - row)];
          const float to = after[static_cast<std::size_t>((k * across + row) * down + column)];
          expect(to == (k / 8 % 2 == 1 ? -from : from), "a quarter turn is that of the result");
        }
  }
}

// The color of the image itself beyond it leaves a constant; so do repeated and mirrored samples.
void padding_of_its_own_color_is_not_seen() {
  for (int i = 0; i < 300; ++i) {
    const int height = between(1, 60), width = between(1, 60);
    const Planes planes = make_planes(height, width, i % 2 == 0 ? Color::gray : Color::ycbcr, between(1, 8), 96);
    const bool turned = planes.view.orientation >= 5;
    UprightCrop crop = draw_padded(turned ? width : height, turned ? height : width);
    crop.shown.reset();
    const double y = 128 + 96 / 8, c = i % 2 == 0 ? 0 : 96 / 8;  // ITU-R BT.601
    crop.fill = {y + 1.402 * c, y - (0.114 * 1.772 + 0.299 * 1.402) / 0.587 * c, y + 1.772 * c};
    SpectrumRequest request = make_request(between(1, 9), between(1, 9), false);
    request.channels.clear();
    for (int k = 0; k < 64; ++k) request.channels.push_back({k % 3, k / 8, k % 8});
    request.factors.assign(64, 1.0f);
    request.offsets.assign(64, 0.0f);
    std::vector<float> out(request.num_values());
    prepixel::DctResampler(request).make(planes.view, crop, out.data());
    const std::size_t plane = request.num_values() / 64;
    for (std::size_t at = 0; at < out.size(); ++at)
      expect(std::abs(out[at] - (at / plane == 0 ? 96.0f : 0.0f)) < 1e-3f, "padding of the same color is not seen");
  }
}

template <class Call>
void expect_refused(const Call& call, const char* text) {
  try {
    call();
  } catch (const std::invalid_argument&) {
    return;
  } catch (const prepixel::JpegFault&) {
    return;
  }
  expect(false, text);
}

void hostile_requests() {
  const Planes planes = make_planes(20, 30, Color::ycbcr, 1);
  SpectrumRequest request = make_request(2, 3, false);
  std::vector<float> out(request.num_values());
  constexpr double infinity = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  for (const double bad : {nan, infinity, -infinity, 0.0, -1.0, 1e300}) {
    for (const Box& box : {Box{0, 0, bad, 4}, Box{0, 0, 4, bad}, Box{bad == 0.0 ? 1e9 : bad, 0, 4, 4}}) {
      expect_refused([&] { prepixel::DctResampler(request).make(planes.view, {.box = box}, out.data()); },
                     "an invalid box is refused");
    }
  }
  for (const double bad : {nan, infinity, -infinity, -1.0, 1e300}) {
    for (const Box& shown : {Box{0, 0, bad, 4}, Box{bad, 0, 4, 4}, Box{0, 0, 21, 4}}) {
      const UprightCrop crop{.box = Box{-2, -2, 9, 9}, .padding = prepixel::Padding::edge, .shown = shown};
      expect_refused([&] { prepixel::DctResampler(request).make(planes.view, crop, out.data()); },
                     "an invalid part is refused");
    }
    if (bad == -1.0) continue;
    const UprightCrop crop{.box = Box{-2, bad, 9, 9}, .padding = prepixel::Padding::reflect};
    expect_refused([&] { prepixel::DctResampler(request).make(planes.view, crop, out.data()); },
                   "a padded box that is not finite, or far away, is refused");
  }
  for (const int bad : {0, -1, prepixel::max_grid + 1, std::numeric_limits<int>::max()}) {
    SpectrumRequest wrong = request;
    wrong.grid_across = bad;
    expect_refused([&] { prepixel::DctResampler maker(wrong); }, "a grid out of range is refused");
  }
  for (const Color color : {Color::cmyk, Color::ycck, Color::unknown, Color::gray}) {
    ImageView wrong = planes.view;
    wrong.color = color;
    expect_refused([&] { prepixel::DctResampler(request).make(wrong, {}, out.data()); },
                   "other colors are refused");
  }
  ImageView wrong = planes.view;
  wrong.planes[1].blocks_down += 1;
  expect_refused([&] { prepixel::DctResampler(request).make(wrong, {}, out.data()); },
                 "blocks that do not fit their samples are refused");
}

}  // namespace

int main() {
  random_images(3000);
  extreme_scales();
  constants_stay_constant();
  turns_are_those_of_the_result();
  padding_of_its_own_color_is_not_seen();
  hostile_requests();
  std::puts("spectrum: 3000 random images, extreme scales, constants, turns, padding, hostile requests");
}
