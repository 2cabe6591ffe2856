// Many files at once: read, decoded and resampled. Worker threads live for one call, so forking between calls is safe.
// The result of an image never depends on the number of threads.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "jpeg/decoder.hpp"
#include "spectrum/resampler.hpp"

namespace prepixel {

// A file's bytes or, where there is one, its path. Of a packed image, the header, and apart from it the uncompressed
// payload.
struct Input {
  std::span<const std::uint8_t> bytes;
  std::optional<std::string> path;
  std::span<const std::uint8_t> payload;
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
  std::optional<JpegFault> fault;
  int error_number = 0;
  std::string message;
};

// Write image after image to `out`, `request.num_values()` values each; where the status is not `read`, those values are
// undefined. `boxes` is empty for whole images, `flips` for none flipped. 0 threads: one per CPU. Where the system has no
// memory for further threads, those that there are do the work; where an image runs out of memory, what is kept for reuse
// is released and the image tried once more. However many the threads, the planes of all images that are decoded at a time
// together take at most `options.limits.max_memory_bytes`, and so do the files that are read from paths.
std::vector<Outcome> read_spectra(std::span<const Input> inputs, std::span<const Box> boxes,
                                  std::span<const std::uint8_t> flips, const SpectrumRequest& request,
                                  const DecodeOptions& options, int num_threads, void* out);

// Read headers alone: the upright sizes. Of paths, as a rule, the first 64 KiB; files that are read whole share
// `limits.max_memory_bytes`.
std::vector<Outcome> read_sizes(std::span<const Input> inputs, const Limits& limits, int num_threads);

}  // namespace prepixel
