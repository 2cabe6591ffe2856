// Many files at once. Worker threads live for one call, so forking between calls is safe. The result of an image never
// depends on the number of threads.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "jpeg/types.hpp"

namespace prepixel {

// A file's bytes or, where there is one, its path.
struct Input {
  std::span<const std::uint8_t> bytes;
  std::optional<std::string> path;
};

enum class Status : std::uint8_t {
  read,
  needs_pixels,   // CMYK, YCCK, or no JPEG: the caller decodes it to pixels
  faulty,         // `fault` says what is wrong with the file
  unreadable,     // `error_number` is the system's
  refused,        // the box is empty, or outside the image
  out_of_memory,
  internal,       // a fault of this library; `message` is what the exception says
};

struct Outcome {
  Status status = Status::read;
  int height = 0;                                 // upright
  int width = 0;
  std::uint64_t missing_blocks = 0;
  bool index_refused = false;                     // it did not fit, so the file was read without it
  std::optional<JpegFault> fault;
  int error_number = 0;
  std::string message;
};

// Read headers alone: the upright sizes. Of paths, as a rule, the first 64 KiB; files that are read whole share
// `limits.max_memory_bytes`.
std::vector<Outcome> read_sizes(std::span<const Input> inputs, const Limits& limits, int num_threads);

// Set the upright size of an outcome.
void note_size(const Header& header, Outcome& outcome);

bool begins_like_jpeg(std::span<const std::uint8_t> bytes);

}  // namespace prepixel
