// Many files at once: read, decoded and resampled by a pool of threads that lives as long as one call, so that a process
// may fork between calls. What an image becomes never depends on the number of threads.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "jpeg/decoder.hpp"
#include "spectrum/resampler.hpp"

namespace prepixel {

// A file's bytes, or, where there are none, its path. Of a packed image, its header, and apart from it its payload,
// uncompressed.
struct Input {
  std::span<const std::uint8_t> bytes;
  std::optional<std::string> path;
  std::span<const std::uint8_t> payload;
};

enum class Status : std::uint8_t {
  read,
  needs_pixels,   // CMYK, YCCK, or no JPEG: to be decoded to pixels by somebody else
  faulty,         // `fault` says what is wrong with the file
  unreadable,     // the system's error number says why
  refused,        // the box is none, or outside the image
  out_of_memory,
};

struct Outcome {
  Status status = Status::read;
  int height = 0;                                 // upright
  int width = 0;
  std::uint64_t missing_blocks = 0;
  std::optional<JpegFault> fault;
  int error_number = 0;
  std::string message;
};

// Write image after image to `out`, `request.num_values()` values each; where the status is not `read`, those values are
// undefined. `boxes` is empty for whole images, `flips` for none flipped. 0 threads: one for each processor.
std::vector<Outcome> read_spectra(std::span<const Input> inputs, std::span<const Box> boxes,
                                  std::span<const std::uint8_t> flips, const SpectrumRequest& request,
                                  const DecodeOptions& options, int num_threads, void* out);

// Read headers alone: the upright sizes. Of paths, as a rule, the first 64 KiB.
std::vector<Outcome> read_sizes(std::span<const Input> inputs, const Limits& limits, int num_threads);

}  // namespace prepixel
