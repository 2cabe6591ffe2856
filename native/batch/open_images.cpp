#include "batch/open_images.hpp"

#include <algorithm>
#include <functional>
#include <numeric>

#include "batch/file_source.hpp"
#include "batch/worker_threads.hpp"
#include "index/embedded_index.hpp"
#include "index/jpeg_index.hpp"
#include "packed/packed_image.hpp"
#include "spectrum/row_resampler.hpp"

namespace prepixel {

namespace {

constexpr const char* hint = "Read it again when no other program writes to it";

constexpr std::span<const std::uint8_t> no_bytes = {};

// Whether a box leaves out so much that an index, which has to be read and checked, saves time.
bool is_part(const std::optional<Box>& box, const Outcome& image) {
  constexpr double most = 0.95;
  return box && box->height * box->width < most * image.height * image.width;
}

bool needs_pixels(const Header& header) { return header.color == Color::cmyk || header.color == Color::ycck; }

// What the images of a batch share. Files are taken first, indexes second and planes third, and whoever has planes waits for
// nothing, so nobody waits for ever.
struct Budgets {
  explicit Budgets(const Limits& limits)
      : files(limits.max_memory_bytes), indexes(limits.max_memory_bytes), planes(limits.max_memory_bytes) {}
  MemoryBudget files;
  MemoryBudget indexes;
  MemoryBudget planes;
};

auto taking(MemoryBudget::Share& share) {
  return [&share](std::uint64_t bytes) { share.take(bytes); };
}

void check_unchanged(const Header& header, const Outcome& opened) {
  Outcome now;
  note_size(header, now);
  if (now.height != opened.height || now.width != opened.width)
    throw JpegFault(Fault::malformed, no_offset, "the file was changed while it was read", hint);
}

}  // namespace

OpenImages::OpenImages(std::vector<Input> inputs, const Limits& limits, int num_threads)
    : limits_(limits), files_(inputs.size()), opened_(inputs.size()) {
  for (std::size_t i = 0; i < inputs.size(); ++i) files_[i].input = std::move(inputs[i]);
  std::vector<std::size_t> order(files_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  MemoryBudget budget(limits.max_memory_bytes);
  struct NoState {};
  on_threads(
      order, num_threads, opened_, [] { return std::make_unique<NoState>(); },
      [&](std::size_t i, NoState&) { return open(files_[i], budget, opened_[i]); });
}

Status OpenImages::open(File& file, MemoryBudget& budget, Outcome& outcome) {
  try {
    std::vector<std::uint8_t> begin;
    load(file, begin);
    const bool is_held = begin.empty();
    const std::span<const std::uint8_t> bytes = is_held ? file.bytes : std::span<const std::uint8_t>(begin);
    file.is_packed = begins_like_pack(bytes);
    if (file.is_packed) {
      note_size(read_pack_header(bytes, limits_).header, outcome);
      return Status::read;
    }
    if (!begins_like_jpeg(bytes)) return Status::needs_pixels;
    auto header = std::make_unique<ParsedHeader>();
    try {
      *header = parse_header(bytes, limits_);
    } catch (const JpegFault& fault) {
      if (fault.kind != Fault::truncated || is_held || bytes.size() == file.size) throw;
      MemoryBudget::Share share(budget);
      FileSource whole(limits_);  // behind its share, so that it frees its memory first
      *header = parse_header(whole.read(*file.input.path, [&share](std::uint64_t size) { share.take(size); }), limits_);
    }
    if (needs_pixels(header->image)) return Status::needs_pixels;
    note_size(header->image, outcome);
    if (is_held) file.header = std::move(header);
    return Status::read;
  } catch (...) {
    release(file);
    throw;
  }
}

// Fill `file.bytes`, or `begin` where the file cannot be held.
void OpenImages::load(File& file, std::vector<std::uint8_t>& begin) {
  if (!file.input.path) {
    file.bytes = file.input.bytes;
    file.size = file.bytes.size();
    return;
  }
  OpenFile opened(*file.input.path);
  check_file_size(opened.size(), limits_);
  file.size = opened.size();
  if (held_bytes_.fetch_add(file.size) + file.size > std::min(most_held_bytes, limits_.max_memory_bytes)) {
    held_bytes_ -= file.size;
    begin.resize(std::min<std::size_t>(file.size, header_bytes));
    begin.resize(opened.read(begin));
    return;
  }
  const std::uint64_t reserved = file.size;
  try {
    file.held.reset(new std::uint8_t[reserved]);
    file.bytes = {file.held.get(), opened.read({file.held.get(), reserved})};
  } catch (...) {
    file.held.reset();
    held_bytes_ -= reserved;
    throw;
  }
}

// Give back what is held of a file that cannot be read.
void OpenImages::release(File& file) noexcept {
  file.bytes = {};
  if (!file.held) return;
  file.held.reset();
  held_bytes_ -= file.size;
}

// Decodes and resamples one image after another.
class OpenImages::Worker {
 public:
  Worker(const OpenImages& images, const SpectrumRequest& request, const ReadOptions& options, Budgets& budgets)
      : images_(images),
        request_(request),
        options_(options),
        budgets_(budgets),
        files_(images.limits_),
        resampler_(request_) {}

  Status read(const ReadTask& task, Outcome& outcome) {
    const File& file = images_.files_[task.image];
    const Outcome& opened = images_.opened_[task.image];
    if (opened.status != Status::read) return opened.status;
    outcome.height = opened.height;
    outcome.width = opened.width;
    request_.grid_down = task.grid_down;
    request_.grid_across = task.grid_across;
    request_.check();
    MemoryBudget::Share of_file(budgets_.files);
    const LargeFileRelease release(files_);
    if (file.is_packed) {
      read_packed(task, opened);
    } else if (file.header) {
      read_jpeg(file.bytes, *file.header, task, outcome);
    } else {
      const std::span<const std::uint8_t> bytes = files_.read(*file.input.path, taking(of_file));
      const ParsedHeader header = parse_header(bytes, images_.limits_);
      check_unchanged(header.image, opened);
      read_jpeg(bytes, header, task, outcome);
    }
    return Status::read;
  }

 private:
  void read_jpeg(std::span<const std::uint8_t> file, const ParsedHeader& header, const ReadTask& task, Outcome& outcome) {
    MemoryBudget::Share of_index(budgets_.indexes), of_planes(budgets_.planes);
    DecodeOptions decoding{.limits = images_.limits_, .keep_truncated = options_.keep_truncated};
    decoding.regions = [&task](const Image& frame) { return needed_blocks(view_of(frame), task.crop); };
    decoding.reserve = taking(of_planes);
    std::optional<JpegIndex> index;
    const std::span<const std::uint8_t> index_bytes = is_part(task.crop.box, outcome) ? index_of(file, task) : no_bytes;
    if (!index_bytes.empty()) {
      of_index.take(std::min(checkpoint_memory(index_bytes.size()), images_.limits_.max_memory_bytes));
      index = fitting_index(index_bytes, file, images_.limits_);
      if (index) decoding.checkpoints = &index->scans;
    }
    std::unique_ptr<RowResampler> rows;
    if (!options_.keep_truncated)
      rows = RowResampler::plan(resampler_, header, task.crop, task.out, options_.least_row_bytes);
    decoding.rows = rows.get();
    const PooledImage image(file, header, std::move(decoding));
    outcome.index_refused = !index_bytes.empty() && (!index || image->checkpoints_refused);
    outcome.missing_blocks = image->missing_blocks;
    if (rows) rows->finish();
    else resampler_.make(view_of(*image), task.crop, task.out);
  }

  // The index to read a file by; empty: none, or none that is of use.
  std::span<const std::uint8_t> index_of(std::span<const std::uint8_t> file, const ReadTask& task) {
    if (options_.keep_truncated) return {};
    if (!task.index.empty() || !options_.use_embedded) return task.index;
    embedded_ = embedded_index(file);
    return embedded_;
  }

  void read_packed(const ReadTask& task, const Outcome& opened) {
    const Limits& limits = images_.limits_;
    const PackedImage packed = read_pack(task.header, task.payload, limits);
    check_unchanged(packed.header, opened);
    check_memory("a packed image's payload and planes,", task.payload.size() + packed.value_bytes(), limits);
    MemoryBudget::Share of_planes(budgets_.planes);
    of_planes.take(packed.value_bytes());
    resampler_.make(view_of(packed), task.crop, task.out);
  }

  const OpenImages& images_;
  SpectrumRequest request_;                       // its grid is that of the image at work
  const ReadOptions& options_;
  Budgets& budgets_;
  FileSource files_;
  std::vector<std::uint8_t> embedded_;            // the index that the file at work holds
  DctResampler resampler_;
};

std::vector<Outcome> OpenImages::read(std::span<const ReadTask> tasks, const SpectrumRequest& request,
                                      const ReadOptions& options) const {
  const auto size_of = [&](std::size_t at) { return files_[tasks[at].image].size; };
  std::vector<std::size_t> order(tasks.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  // So that no thread begins a large one when the others are done.
  std::ranges::stable_sort(order, std::ranges::greater{}, size_of);
  std::vector<Outcome> outcomes(tasks.size());
  Budgets budgets(limits_);
  on_threads(
      order, options.num_threads, outcomes, [&] { return std::make_unique<Worker>(*this, request, options, budgets); },
      [&](std::size_t at, Worker& worker) { return worker.read(tasks[at], outcomes[at]); });
  return outcomes;
}

}  // namespace prepixel
