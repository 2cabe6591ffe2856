// Round trips of random and extreme coefficients; Huffman codes against their definition; hostile requests.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "jpeg/encoder.hpp"
#include "jpeg/optimal_huffman.hpp"
#include "jpeg/decoder.hpp"
#include "jpeg/bandlimit.hpp"

using namespace prepixel;

namespace {

std::mt19937_64 generator(20020);

int between(int low, int high) { return std::uniform_int_distribution<int>(low, high)(generator); }

void expect(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "failed: %s\n", what);
  std::exit(1);
}

// Exact buffers on the heap, so that the sanitizer detects a read past a plane.
struct Picture {
  std::vector<std::vector<std::int16_t>> planes;
  EncoderInput image;
};

int ceil_divide(int a, int b) { return (a + b - 1) / b; }

enum class Filling { empty, sparse, full, ends, extreme };

void fill(std::vector<std::int16_t>& plane, Filling filling) {
  for (std::size_t at = 0; at < plane.size(); at += 64) {
    std::int16_t* block = plane.data() + at;
    const auto value = [](int most) { return static_cast<std::int16_t>(between(-most, most)); };
    switch (filling) {
      case Filling::empty: break;
      case Filling::sparse:  // runs of sixteen zeros and more
        block[0] = value(1023);
        for (int i = 0; i < 3; ++i) block[between(1, 63)] = value(between(0, 1) == 0 ? 1 : 1023);
        break;
      case Filling::full:
        for (int i = 0; i < 64; ++i) block[i] = value(1 << between(0, 9));
        break;
      case Filling::ends:
        block[63] = value(1) >= 0 ? 1023 : -1023;
        break;
      case Filling::extreme:
        for (int i = 0; i < 64; ++i) block[i] = static_cast<std::int16_t>(between(0, 1) == 0 ? 16383 : -16383);
        break;
    }
  }
}

Picture make_picture(Filling filling) {
  Picture picture;
  EncoderInput& image = picture.image;
  image.height = between(1, 83);
  image.width = between(1, 83);
  const int count = between(1, 4);
  constexpr std::array colors = {Color::gray, Color::unknown, Color::ycbcr, Color::cmyk};
  image.color = colors[static_cast<std::size_t>(count - 1)];
  if (count == 3 && between(0, 2) == 0) image.color = Color::rgb;
  if (count == 4 && between(0, 1) == 0) image.color = Color::ycck;
  image.orientation = between(1, 8);
  if (between(0, 1) == 0) image.restart_interval = between(0, 9);
  else image.restart_rows = between(0, 3);
  int max_v = 1, max_h = 1;
  for (int i = 0; i < count; ++i) {
    EncoderPlane& plane = image.planes.emplace_back();
    plane.identifier = static_cast<std::uint8_t>(between(0, 3) == 0 ? 7 : i + 1);  // sometimes the same one twice
    plane.sampling_v = between(1, 4);
    plane.sampling_h = between(1, 4);
    max_v = std::max(max_v, plane.sampling_v);
    max_h = std::max(max_h, plane.sampling_h);
    for (auto& step : plane.quantization) step = static_cast<std::uint16_t>(between(1, i == 1 ? 65535 : 255));
    if (between(0, 1) == 0) plane.quantization = image.planes[0].quantization;
    if (between(0, 1) == 0) plane.kept = generator();
  }
  for (EncoderPlane& plane : image.planes) {
    plane.blocks_down = ceil_divide(ceil_divide(image.height * plane.sampling_v, max_v), 8);
    plane.blocks_across = ceil_divide(ceil_divide(image.width * plane.sampling_h, max_h), 8);
    auto& values = picture.planes.emplace_back(static_cast<std::size_t>(64 * plane.blocks_down * plane.blocks_across));
    fill(values, filling);
    plane.quantized = values.data();
  }
  return picture;
}

void same(const EncoderInput& coded, const Image& read) {
  expect(read.warnings.empty() && read.missing_blocks == 0, "the file is clean");
  expect(read.height == coded.height && read.width == coded.width, "size");
  expect(read.color == coded.color && read.orientation == coded.orientation, "color and orientation");
  expect(read.components.size() == coded.planes.size(), "components");
  for (std::size_t i = 0; i < coded.planes.size(); ++i) {
    const EncoderPlane& plane = coded.planes[i];
    const Component& component = read.components[i];
    expect(component.quantization == plane.quantization, "quantization");
    expect(component.sampling_v == plane.sampling_v && component.sampling_h == plane.sampling_h, "sampling");
    expect(component.blocks_down == plane.blocks_down && component.blocks_across == plane.blocks_across, "blocks");
    for (std::size_t block = 0; block < component.blocks.size(); ++block) {
      for (std::size_t k = 0; k < 64; ++k) {
        const std::int16_t wanted = (plane.kept >> k & 1) != 0 ? plane.quantized[64 * block + k] : std::int16_t{0};
        expect(component.blocks[block][k] == wanted, "coefficients");
      }
    }
  }
}

void pictures_come_back(int count) {
  for (int i = 0; i < count; ++i) {
    const Picture picture = make_picture(static_cast<Filling>(i % 5));
    const Bytes file = encode(picture.image, {});
    const Image read = decode(file, {});
    same(picture.image, read);
    // Band-limiting the file to the same frequencies changes nothing.
    const std::uint64_t first = generator(), second = generator();
    const BandlimitRequest request{.kept = {first, second, first ^ second},
                              .restart_interval = between(0, 5),
                              .restart_rows = 0,
                              .metadata = static_cast<Metadata>(between(0, 2))};
    const Bytes thinned = bandlimit(file, request, {});
    const Image less = decode(thinned, {});
    expect(less.orientation == picture.image.orientation, "a thinned file keeps its orientation");
    expect(bandlimit(thinned, request, {}) == thinned, "thinning twice is thinning once");
  }
}

// The shortest total of any binary tree, by a queue; the reserved symbol counts as one.
std::uint64_t shortest_total(const SymbolCounts& counts) {
  std::priority_queue<std::uint64_t, std::vector<std::uint64_t>, std::greater<>> trees;
  for (const std::uint64_t count : counts) {
    if (count != 0) trees.push(count);
  }
  trees.push(1);
  std::uint64_t total = 0;
  while (trees.size() > 1) {
    const std::uint64_t first = trees.top();
    trees.pop();
    const std::uint64_t both = first + trees.top();
    trees.pop();
    total += both;
    trees.push(both);
  }
  return total;
}

void codes_are_valid_and_short(int count) {
  int limited = 0;
  for (int i = 0; i < count; ++i) {
    SymbolCounts counts{};
    const int symbols = between(1, i % 3 == 0 ? 242 : 30);
    std::uint64_t a = 1, b = 1;
    for (int s = 0; s < symbols; ++s) {
      const auto symbol = static_cast<std::size_t>(between(0, 255));
      if (i % 2 == 0) {
        counts[symbol] = 1 + generator() % (1ull << between(0, 40));
      } else {  // Fibonacci's numbers make the longest codes
        counts[symbol] = a;
        if (b < 1ull << 50) b = a + std::exchange(a, b);
      }
    }
    const HuffmanSpec spec = optimal_huffman(counts);
    expect(HuffmanCode::make(spec, HuffmanClass::ac).has_value(), "a prefix code that leaves all ones free");
    const auto codes = codes_of(spec);
    std::uint64_t total = 0, longest = 0;
    for (std::size_t s = 0; s < 256; ++s) {
      expect((codes[s].length != 0) == (counts[s] != 0), "each symbol that occurs has a code, and no other");
      total += counts[s] * codes[s].length;
      longest = std::max<std::uint64_t>(longest, codes[s].length);
    }
    const std::uint64_t shortest = shortest_total(counts);
    expect(longest <= 16, "codes are at most 16 long");
    if (longest == 16) ++limited;
    else expect(total + longest == shortest, "codes below the limit are the shortest there are");
    for (std::size_t s = 1; s < 256; ++s) {
      for (std::size_t other = 0; other < s; ++other) {
        if (codes[s].length == 0 || codes[other].length == 0) continue;
        expect(counts[s] <= counts[other] || codes[s].length <= codes[other].length || longest == 16,
               "of two symbols the rarer has no shorter code");
      }
    }
  }
  expect(limited > 0, "some codes reached the limit");
}

void shared_tables_cost_least() {
  SymbolCounts first{}, second{};
  for (std::size_t i = 0; i < 40; ++i) {
    first[i] = 1'000'000 >> (i / 2);
    second[39 - i] = 1'000'000 >> (i / 2);
  }
  const std::array unlike = {first, second, first};
  const SharedTables apart = share_tables(unlike);
  expect(apart.tables.size() == 2 && apart.table_of[0] == 0 && apart.table_of[1] == 1 && apart.table_of[2] == 0,
         "unlike components have a table each, like ones share it");
  SymbolCounts few{};
  few[0] = few[1] = 3;
  const std::array alike = {few, few, few, few};
  expect(share_tables(alike).tables.size() == 1, "where a table costs more than it saves, there is one");
}

void refused(const EncoderInput& image, const std::string& words) {
  try {
    encode(image, {});
  } catch (const JpegFault& fault) {
    expect(std::string(fault.what()).find(words) != std::string::npos && !fault.hint.empty(), words.c_str());
    return;
  }
  expect(false, words.c_str());
}

void hostile_requests() {
  const Picture good = make_picture(Filling::sparse);
  const auto changed = [&](const std::function<void(EncoderInput&)>& change) {
    EncoderInput image = good.image;
    change(image);
    return image;
  };
  for (const int bad : {0, -1, 65536, 1 << 30}) {
    refused(changed([&](EncoderInput& image) { image.height = bad; }), "pixels");
    refused(changed([&](EncoderInput& image) { image.width = bad; }), "pixels");
  }
  for (const int bad : {0, -4, 5, 1 << 30}) {
    refused(changed([&](EncoderInput& image) { image.planes.back().sampling_v = bad; }), "sampling factors");
    refused(changed([&](EncoderInput& image) { image.planes.back().sampling_h = bad; }), "sampling factors");
  }
  refused(changed([](EncoderInput& image) { image.planes.clear(); }), "0 components");
  refused(changed([](EncoderInput& image) { image.planes.assign(5, image.planes[0]); }), "5 components");
  refused(changed([](EncoderInput& image) { image.planes[0].blocks_down += 1; }), "blocks, but");
  refused(changed([](EncoderInput& image) { image.planes[0].quantized = nullptr; }), "blocks, but");
  refused(changed([](EncoderInput& image) { image.planes[0].quantization[63] = 0; }), "step of 0");
  refused(changed([](EncoderInput& image) { image.orientation = 9; }), "orientation 9");
  refused(changed([](EncoderInput& image) { image.restart_rows = 0, image.restart_interval = -1; }), "negative");
  refused(changed([](EncoderInput& image) { image.restart_rows = 0, image.restart_interval = 65536; }), "65536 MCUs");
  refused(changed([](EncoderInput& image) { image.restart_rows = 1, image.restart_interval = 1; }), "both");
  refused(changed([](EncoderInput& image) { image.restart_interval = 0, image.restart_rows = 1 << 30; }), "MCUs");
  const std::vector<std::uint8_t> large(65534);
  refused(changed([&](EncoderInput& image) { image.segments = {{0xE3, large}}; }), "65534 bytes");
  refused(changed([&](EncoderInput& image) { image.segments = {{0xDA, {}}}; }), "SOS");
  for (const int beyond : {32767, -32768}) {
    std::vector<std::int16_t> blocks(2 * 64, 0);
    blocks[0] = static_cast<std::int16_t>(beyond);
    blocks[64] = static_cast<std::int16_t>(beyond < 0 ? 32767 : -32768);
    EncoderInput image{.height = 8, .width = 16, .color = Color::gray, .orientation = 1, .planes = {}, .segments = {}};
    EncoderPlane& plane = image.planes.emplace_back();
    plane.blocks_down = 1;
    plane.blocks_across = 2;
    plane.quantized = blocks.data();
    plane.quantization.fill(1);
    refused(image, "32767");
    plane.kept = ~std::uint64_t{1};
    expect(!encode(image, {}).empty(), "what is not kept does not matter");
    blocks[64 + 9] = -32768;
    refused(image, "32767");
  }
}

}  // namespace

int main() {
  pictures_come_back(3000);
  codes_are_valid_and_short(2000);
  shared_tables_cost_least();
  hostile_requests();
  std::puts("encode: 3000 pictures coded and band-limited, 2000 codes, shared tables, hostile requests");
}
