#include "batch/batch.hpp"

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <new>
#include <numeric>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "batch/file_source.hpp"
#include "batch/memory_budget.hpp"
#include "packed/packed_image.hpp"

namespace prepixel {

namespace {

bool begins_like_jpeg(std::span<const std::uint8_t> bytes) {
  return bytes.size() >= 2 && bytes[0] == 0xFF && bytes[1] == 0xD8;
}

bool needs_pixels(const Header& header) {
  return header.color == Color::cmyk || header.color == Color::ycck;
}

void note_size(const Header& header, Outcome& outcome) {
  const bool transposed = header.orientation >= 5;
  outcome.height = transposed ? header.width : header.height;
  outcome.width = transposed ? header.height : header.width;
}

// Run one image's work; whatever it throws becomes its outcome. An exception that left a helper thread would end the
// process, so nothing gets out, not even of the handlers, which copy text and may themselves run out of memory.
template <class Work>
void attempt(Outcome& outcome, const Work& work) noexcept {
  try {
    try {
      outcome.status = retry_after_release([&] { return work(); });
    } catch (JpegFault& fault) {
      outcome.status = Status::faulty;
      outcome.fault = std::move(fault);
    } catch (const std::system_error& error) {
      outcome.status = Status::unreadable;
      outcome.error_number = error.code().value();
    } catch (const std::invalid_argument& error) {
      outcome.status = Status::refused;
      outcome.message = error.what();
    } catch (const std::bad_alloc&) {
      outcome.status = Status::out_of_memory;
    } catch (const std::exception& error) {
      outcome.status = Status::internal;
      outcome.message = error.what();
    }
  } catch (const std::bad_alloc&) {
    outcome.status = Status::out_of_memory;
  } catch (...) {
    outcome.status = Status::internal;
  }
}

// Call `work(index, worker)` for each index below `count`. Each thread makes its worker within its first image, so that a
// worker for which there is no memory is that image's outcome. The calling thread is one of the threads.
template <class MakeWorker, class Work>
void on_threads(std::size_t count, int num_threads, std::span<Outcome> outcomes, const MakeWorker& make,
                const Work& work) {
  const std::size_t wanted = num_threads > 0 ? static_cast<std::size_t>(num_threads)
                                             : std::max<std::size_t>(1, std::thread::hardware_concurrency());
  std::atomic<std::size_t> next{0};
  const auto drain = [&]() noexcept {
    decltype(make()) worker;
    for (std::size_t at = next++; at < count; at = next++) {
      attempt(outcomes[at], [&] {
        if (!worker) worker = make();
        return work(at, *worker);
      });
    }
  };
  std::vector<std::jthread> helpers;
  try {
    helpers.reserve(std::min(wanted, std::max<std::size_t>(count, 1)) - 1);
    while (helpers.size() + 1 < std::min(wanted, count)) helpers.emplace_back(drain);
  } catch (const std::system_error&) {
    // The system gives no more threads; those that there are do the work.
  } catch (const std::bad_alloc&) {
  }
  drain();
}

// What the images of a batch share. Files are taken first and planes second, and whoever has planes waits for nothing, so
// nobody waits for ever.
struct Budgets {
  explicit Budgets(const Limits& limits) : files(limits.max_memory_bytes), planes(limits.max_memory_bytes) {}
  MemoryBudget files;
  MemoryBudget planes;
};

// Decodes and resamples one image after another.
class SpectrumWorker {
 public:
  SpectrumWorker(const SpectrumRequest& request, const DecodeOptions& options, Budgets& budgets)
      : options_(options), budgets_(budgets), files_(options.limits), resampler_(request) {}

  Status read(const Input& input, const Box* box, bool flip, void* out, Outcome& outcome) {
    files_.release_large();
    MemoryBudget::Share of_file(budgets_.files), of_planes(budgets_.planes);
    const auto take = [](MemoryBudget::Share& share) { return [&share](std::uint64_t bytes) { share.take(bytes); }; };
    const std::span<const std::uint8_t> file = input.path ? files_.read(*input.path, take(of_file)) : input.bytes;
    if (begins_like_pack(file)) {
      const PackedImage packed = read_pack(file, input.payload, options_.limits);
      check_memory("a packed image's payload and planes,", input.payload.size() + packed.value_bytes(),
                   options_.limits);
      of_planes.take(packed.value_bytes());
      note_size(packed, outcome);
      resampler_.make(view_of(packed), box, flip, out);
      return Status::read;
    }
    if (!begins_like_jpeg(file)) return Status::needs_pixels;
    const Header header = read_header(file, options_.limits);
    if (needs_pixels(header)) return Status::needs_pixels;
    DecodeOptions decoding = options_;
    decoding.regions = [box](const Image& frame) { return needed_blocks(view_of(frame), box); };
    decoding.reserve = take(of_planes);
    const PooledImage image(file, std::move(decoding));
    note_size(*image, outcome);
    outcome.missing_blocks = image->missing_blocks;
    resampler_.make(view_of(*image), box, flip, out);
    return Status::read;
  }

 private:
  const DecodeOptions& options_;
  Budgets& budgets_;
  FileSource files_;
  DctResampler resampler_;
};

// Empty where the file is no JPEG.
std::optional<Header> header_of(std::span<const std::uint8_t> bytes, const Limits& limits) {
  if (begins_like_pack(bytes)) return read_pack_header(bytes, limits);
  if (!begins_like_jpeg(bytes)) return std::nullopt;
  return read_header(bytes, limits);
}

std::optional<Header> header_of(const Input& input, FileSource& files, MemoryBudget& budget, const Limits& limits) {
  if (!input.path) return header_of(input.bytes, limits);
  MemoryBudget::Share share(budget);
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

// ScanOrderMap of the inputs, those of many bytes first, so that no thread begins a large one when the others are done. Paths,
// whose sizes are not known yet, come last, in order.
std::vector<std::size_t> largest_first(std::span<const Input> inputs) {
  std::vector<std::size_t> order(inputs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::ranges::greater{}, [&](std::size_t i) { return inputs[i].bytes.size(); });
  return order;
}

}  // namespace

std::vector<Outcome> read_spectra(std::span<const Input> inputs, std::span<const Box> boxes,
                                  std::span<const std::uint8_t> flips, const SpectrumRequest& request,
                                  const DecodeOptions& options, int num_threads, void* out) {
  request.check();
  const std::size_t image_bytes = request.num_values() * (request.int8 ? 1 : sizeof(float));
  const std::vector<std::size_t> order = largest_first(inputs);
  std::vector<Outcome> in_order(inputs.size());
  Budgets budgets(options.limits);
  on_threads(
      inputs.size(), num_threads, in_order, [&] { return std::make_unique<SpectrumWorker>(request, options, budgets); },
      [&](std::size_t at, SpectrumWorker& worker) {
        const std::size_t i = order[at];
        return worker.read(inputs[i], boxes.empty() ? nullptr : &boxes[i], !flips.empty() && flips[i] != 0,
                           static_cast<std::uint8_t*>(out) + i * image_bytes, in_order[at]);
      });
  std::vector<Outcome> outcomes(inputs.size());
  for (std::size_t at = 0; at < order.size(); ++at) outcomes[order[at]] = std::move(in_order[at]);
  return outcomes;
}

std::vector<Outcome> read_sizes(std::span<const Input> inputs, const Limits& limits, int num_threads) {
  std::vector<Outcome> outcomes(inputs.size());
  MemoryBudget budget(limits.max_memory_bytes);
  on_threads(
      inputs.size(), num_threads, outcomes, [&] { return std::make_unique<FileSource>(limits); },
      [&](std::size_t i, FileSource& files) {
        files.release_large();
        const std::optional<Header> header = header_of(inputs[i], files, budget, limits);
        if (!header) return Status::needs_pixels;
        note_size(*header, outcomes[i]);
        return Status::read;
      });
  return outcomes;
}

}  // namespace prepixel
