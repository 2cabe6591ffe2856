// Indexes changed at random, and those of other files, with files of every kind: what is read whole is right, and nothing
// is touched that is not the file's or the image's. Built with the sanitizers in CI.
//   index_hostile [-n CHANGES] FILE_OR_FOLDER...
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/index_pairs.hpp"

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr prepixel::Limits limits{.max_pixels = 1u << 22, .max_memory_bytes = 1u << 26, .max_scans = 100};

std::vector<Bytes> read_files(int argc, char** argv, long& changes) {
  std::vector<std::filesystem::path> paths;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "-n" && i + 1 < argc) {
      changes = std::atol(argv[++i]);
    } else if (std::filesystem::is_directory(argument)) {
      for (const auto& entry : std::filesystem::recursive_directory_iterator(argument))
        if (entry.is_regular_file()) paths.push_back(entry.path());
    } else {
      paths.emplace_back(argument);
    }
  }
  std::sort(paths.begin(), paths.end());
  std::vector<Bytes> files;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    files.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return files;
}

Bytes change(Bytes bytes, std::mt19937_64& random) {
  for (std::size_t i = 0, count = 1 + random() % 3; i < count; ++i) {
    const std::size_t at = random() % bytes.size();
    switch (random() % 4) {
      case 0: bytes[at] ^= static_cast<std::uint8_t>(1u << random() % 8); break;
      case 1: bytes[at] = static_cast<std::uint8_t>(random()); break;
      case 2: bytes[at] |= 0x80; break;
      default: std::swap(bytes[at], bytes[random() % bytes.size()]);
    }
  }
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  long changes = 4000;
  const std::vector<Bytes> files = read_files(argc, argv, changes);
  std::mt19937_64 random(20020);
  std::vector<Bytes> indexed;
  std::vector<Bytes> indexes;
  for (const Bytes& file : files) {
    for (const int every : {0, 1, 3}) {
      try {
        const prepixel::JpegIndex index = prepixel::index_jpeg(file, limits, every);
        prepixel::promise(prepixel::is_index_of(index, file), "an index is its file's");
        prepixel::check_pair(file, index.scans, limits, random(), true);
        indexed.push_back(file);
        indexes.push_back(prepixel::write_index(index));
      } catch (const prepixel::JpegFault&) {
        prepixel::promise(!prepixel::decoded(file, {.limits = limits}), "what can be decoded can be indexed");
      }
    }
  }
  if (indexed.empty()) {
    std::fprintf(stderr, "usage: index_hostile [-n CHANGES] FILE_OR_FOLDER...\n");
    return 2;
  }
  long used = 0, refused = 0, unread = 0;
  for (long i = 0; i < changes; ++i) {
    const std::size_t at = random() % indexed.size(), other = i % 4 == 0 ? random() % indexed.size() : at;
    try {
      const prepixel::JpegIndex index = prepixel::read_index(change(indexes[other], random), false);
      ++(prepixel::check_pair(indexed[at], index.scans, limits, random(), false) ? used : refused);
    } catch (const prepixel::JpegFault& fault) {
      prepixel::promise(fault.kind == prepixel::Fault::index, "an index that cannot be read says so");
      ++unread;
    }
  }
  std::printf("%ld changed indexes: %ld used, %ld refused, %ld unreadable\n", changes, used, refused, unread);
  return 0;
}
