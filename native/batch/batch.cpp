#include "batch/batch.hpp"

#include <memory>
#include <numeric>

#include "batch/file_source.hpp"
#include "batch/memory_budget.hpp"
#include "batch/worker_threads.hpp"
#include "jpeg/decoder.hpp"
#include "packed/packed_image.hpp"

namespace prepixel {

namespace {

// Empty where the file is no JPEG.
std::optional<Header> header_of(std::span<const std::uint8_t> bytes, const Limits& limits) {
  if (begins_like_pack(bytes)) return read_pack_header(bytes, limits).header;
  if (!begins_like_jpeg(bytes)) return std::nullopt;
  return read_header(bytes, limits);
}

std::optional<Header> header_of(const Input& input, FileSource& files, MemoryBudget& budget, const Limits& limits) {
  if (!input.path) return header_of(input.bytes, limits);
  MemoryBudget::Share share(budget);
  const LargeFileRelease release(files);
  bool whole = false;
  const std::span<const std::uint8_t> begin = files.read_begin(*input.path, whole);
  if (!whole) {
    try {
      return header_of(begin, limits);
    } catch (const JpegFault& fault) {
      if (fault.kind != Fault::truncated) throw;
    }
    return header_of(files.read(*input.path, [&share](std::uint64_t bytes) { share.take(bytes); }), limits);
  }
  return header_of(begin, limits);
}

}  // namespace

bool begins_like_jpeg(std::span<const std::uint8_t> bytes) {
  return bytes.size() >= 2 && bytes[0] == 0xFF && bytes[1] == 0xD8;
}

void note_size(const Header& header, Outcome& outcome) {
  const bool transposed = header.orientation >= 5;
  outcome.height = transposed ? header.width : header.height;
  outcome.width = transposed ? header.height : header.width;
}

std::vector<Outcome> read_sizes(std::span<const Input> inputs, const Limits& limits, int num_threads) {
  std::vector<Outcome> outcomes(inputs.size());
  MemoryBudget budget(limits.max_memory_bytes);
  std::vector<std::size_t> order(inputs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  on_threads(
      order, num_threads, outcomes, [&] { return std::make_unique<FileSource>(limits); },
      [&](std::size_t i, FileSource& files) {
        const std::optional<Header> header = header_of(inputs[i], files, budget, limits);
        if (!header) return Status::needs_pixels;
        note_size(*header, outcomes[i]);
        return Status::read;
      });
  return outcomes;
}

}  // namespace prepixel
