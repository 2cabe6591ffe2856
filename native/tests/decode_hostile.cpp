// Truncate each file at every byte and corrupt it at random, under both policies: every result is a valid image or a
// JpegFault. Built with the sanitizers in CI.
//
// Usage: decode_hostile [-n CORRUPTIONS] FILE_OR_FOLDER...
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "jpeg/decoder.hpp"

namespace {

using Bytes = std::vector<std::uint8_t>;

struct Counts {
  long images = 0;
  long partial = 0;
  long faults = 0;
};

void expect(bool holds, const char* text) {
  if (holds) return;
  std::fprintf(stderr, "failed: %s\n", text);
  std::abort();
}

void check(const prepixel::Image& image, bool keep) {
  std::uint64_t blocks = 0;
  for (const prepixel::Component& component : image.components) {
    const auto size =
        static_cast<std::uint64_t>(component.blocks_down) * static_cast<std::uint64_t>(component.blocks_across);
    expect(component.blocks.size() == size, "a plane has blocks_down x blocks_across blocks");
    expect(component.blocks_down == (component.height + 7) / 8, "blocks down");
    expect(component.blocks_across == (component.width + 7) / 8, "blocks across");
    blocks += size;
  }
  expect(!image.components.empty() && image.components.size() <= 4, "one to four components");
  expect(image.missing_blocks < blocks, "some block is there");
  expect(keep || image.missing_blocks == 0, "nothing is missing unless asked for");
  expect(image.orientation >= 1 && image.orientation <= 8, "orientation");
}

// Some frequencies of some blocks, into planes that hold values of other files.
void decode_selected(const Bytes& file, const prepixel::Limits& limits, Counts& counts) {
  static prepixel::PlanePool planes(prepixel::PlanePool::Fit::any);
  const auto middle = [](const prepixel::Image& image) {
    std::vector<prepixel::BlockRegion> regions;
    for (const prepixel::Component& component : image.components)
      regions.push_back({component.blocks_down / 4, (component.blocks_down + 1) / 2, component.blocks_across / 3,
                         (2 * component.blocks_across + 2) / 3});
    return regions;
  };
  for (const bool keep : {false, true}) {
    try {
      prepixel::Image image = prepixel::decode(file, {.limits = limits,
                                                      .keep_truncated = keep,
                                                      .kept = {0x0F0F, 1, 0x8000000000000001},
                                                      .regions = middle,
                                                      .planes = &planes});
      for (prepixel::Component& component : image.components) planes.release(std::move(component.blocks));
      ++counts.images;
    } catch (const prepixel::JpegFault& fault) {
      expect(fault.byte_offset <= file.size(), "a fault's place is in the file");
      ++counts.faults;
    }
  }
}

void decode(const Bytes& file, Counts& counts) {
  // An exact copy on the heap, so that the sanitizer detects a read past the end.
  const Bytes exact(file.begin(), file.end());
  const prepixel::Limits limits{.max_pixels = 1u << 22, .max_memory_bytes = 1u << 26, .max_scans = 100};
  for (const bool keep : {false, true}) {
    try {
      const prepixel::Image image = prepixel::decode(exact, {.limits = limits, .keep_truncated = keep});
      check(image, keep);
      ++(image.missing_blocks != 0 ? counts.partial : counts.images);
    } catch (const prepixel::JpegFault& fault) {
      expect(fault.byte_offset <= exact.size(), "a fault's place is in the file");
      expect(fault.what()[0] != '\0' && !fault.hint.empty(), "a fault says what, and what to do");
      ++counts.faults;
    }
  }
  decode_selected(exact, limits, counts);
  try {
    prepixel::read_header(exact, limits);
  } catch (const prepixel::JpegFault&) {
    ++counts.faults;
  }
}

Bytes corrupt(Bytes file, std::mt19937_64& random) {
  const auto below = [&random](std::size_t end) { return end == 0 ? 0 : static_cast<std::size_t>(random() % end); };
  const std::size_t changes = 1 + below(4);
  for (std::size_t i = 0; i < changes && !file.empty(); ++i) {
    const std::size_t at = below(file.size());
    const std::size_t length = std::min(file.size() - at, 1 + below(20));
    const auto begin = file.begin() + static_cast<std::ptrdiff_t>(at);
    switch (below(7)) {
      case 0: file[at] ^= static_cast<std::uint8_t>(1u << below(8)); break;
      case 1: file[at] = static_cast<std::uint8_t>(random()); break;
      case 2: file[at] = 0xFF; break;
      case 3: file[at] = 0; break;
      case 4: file.erase(begin, begin + static_cast<std::ptrdiff_t>(length)); break;
      case 5: {
        const Bytes piece(begin, begin + static_cast<std::ptrdiff_t>(length));
        file.insert(file.begin() + static_cast<std::ptrdiff_t>(below(file.size())), piece.begin(), piece.end());
        break;
      }
      default: {  // a marker where none belongs
        const std::uint8_t marker[] = {0xFF, static_cast<std::uint8_t>(0xC0 + below(64))};
        file.insert(begin, std::begin(marker), std::end(marker));
      }
    }
  }
  return file;
}

Bytes read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "cannot open %s\n", path.c_str());
    std::exit(2);
  }
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

int main(int argc, char** argv) {
  long corruptions = 10000;
  std::vector<std::filesystem::path> paths;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "-n" && i + 1 < argc) {
      corruptions = std::atol(argv[++i]);
    } else if (std::filesystem::is_directory(argument)) {
      for (const auto& entry : std::filesystem::recursive_directory_iterator(argument)) {
        if (entry.is_regular_file()) paths.push_back(entry.path());
      }
    } else {
      paths.emplace_back(argument);
    }
  }
  if (paths.empty()) {
    std::fprintf(stderr, "usage: decode_hostile [-n CORRUPTIONS] FILE_OR_FOLDER...\n");
    return 2;
  }
  std::sort(paths.begin(), paths.end());
  std::vector<Bytes> files;
  for (const auto& path : paths) files.push_back(read(path));

  Counts cut;
  long cuts = 0;
  for (const Bytes& file : files) {
    if (file.size() > 8192) continue;  // truncation at every byte is for small files
    for (std::size_t size = 0; size <= file.size(); ++size, ++cuts) {
      decode(Bytes(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size)), cut);
    }
  }
  std::printf("%ld truncations: %ld images, %ld partial, %ld faults\n", cuts, cut.images, cut.partial, cut.faults);

  Counts corrupted;
  std::mt19937_64 random(20020);
  for (long i = 0; i < corruptions; ++i)
    decode(corrupt(files[static_cast<std::size_t>(i) % files.size()], random), corrupted);
  std::printf("%ld corruptions: %ld images, %ld partial, %ld faults\n", corruptions, corrupted.images,
              corrupted.partial, corrupted.faults);
  return 0;
}
