// XXH64: the checksum of packed images, as fast as memory is read.
// Source: the xxHash specification, "XXH64 algorithm description".
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace prepixel {

inline std::uint64_t xxh64(std::span<const std::uint8_t> bytes, std::uint64_t seed) {
  constexpr std::uint64_t p1 = 0x9E3779B185EBCA87u, p2 = 0xC2B2AE3D27D4EB4Fu, p3 = 0x165667B19E3779F9u,
                          p4 = 0x85EBCA77C2B2AE63u, p5 = 0x27D4EB2F165667C5u;
  static_assert(std::endian::native == std::endian::little, "prepixel needs a little-endian machine");
  const auto word = [](const std::uint8_t* at) {
    std::uint64_t value = 0;
    std::memcpy(&value, at, 8);
    return value;
  };
  const auto half = [](const std::uint8_t* at) {
    std::uint32_t value = 0;
    std::memcpy(&value, at, 4);
    return std::uint64_t{value};
  };
  const auto round = [](std::uint64_t lane, std::uint64_t input) { return std::rotl(lane + input * p2, 31) * p1; };
  const std::uint8_t* at = bytes.data();
  std::size_t left = bytes.size();
  std::uint64_t hash = seed + p5;
  if (left >= 32) {
    std::uint64_t a = seed + p1 + p2, b = seed + p2, c = seed, d = seed - p1;
    for (; left >= 32; left -= 32, at += 32) {
      a = round(a, word(at));
      b = round(b, word(at + 8));
      c = round(c, word(at + 16));
      d = round(d, word(at + 24));
    }
    hash = std::rotl(a, 1) + std::rotl(b, 7) + std::rotl(c, 12) + std::rotl(d, 18);
    for (const std::uint64_t lane : {a, b, c, d}) hash = (hash ^ round(0, lane)) * p1 + p4;
  }
  hash += bytes.size();
  for (; left >= 8; left -= 8, at += 8) hash = std::rotl(hash ^ round(0, word(at)), 27) * p1 + p4;
  for (; left >= 4; left -= 4, at += 4) hash = std::rotl(hash ^ half(at) * p1, 23) * p2 + p3;
  for (; left >= 1; left -= 1, at += 1) hash = std::rotl(hash ^ *at * p5, 11) * p1;
  hash = (hash ^ hash >> 33) * p2;
  hash = (hash ^ hash >> 29) * p3;
  return hash ^ hash >> 32;
}

}  // namespace prepixel
