// Image files opened, their bytes held and their headers parsed once; then decoded and resampled, as often as asked.
//
// Between the two, callers choose boxes by the images' sizes. Decoding goes on behind the parsed header, from the same
// bytes: a file that is changed or deleted meanwhile changes nothing, and of a buffer that another thread changes, the size
// stays what was said, and no read leaves it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "batch/batch.hpp"
#include "batch/memory_budget.hpp"
#include "jpeg/decoder.hpp"
#include "spectrum/resampler.hpp"

namespace prepixel {

// One image of a batch to read.
struct ReadTask {
  std::size_t image = 0;                          // among those that were opened
  UprightCrop crop = {};
  int grid_down = 0;
  int grid_across = 0;
  void* out = nullptr;                            // room for as many values as the request has for this grid
  // Of a packed image: its header, and its uncompressed payload.
  std::span<const std::uint8_t> header = {};
  std::span<const std::uint8_t> payload = {};
  // Of a JPEG: the bytes of its index; empty: none.
  std::span<const std::uint8_t> index = {};
};

struct ReadOptions {
  bool keep_truncated = false;                    // then no index is used
  bool use_embedded = false;                      // use indexes that files hold, where the task has none
  int num_threads = 0;                            // 0: one per CPU
  // Images whose luma takes so many bytes are resampled while they are decoded, to the same bits.
  std::size_t least_row_bytes = prepixel::least_row_bytes;
};

// Unchanged once it is made, so any number of threads may read from one.
class OpenImages {
 public:
  // Bytes of files that are held at once; a lower limit on memory holds for these, too. What does not fit is read again
  // when it is decoded, and refused if its size is another by then.
  static constexpr std::uint64_t most_held_bytes = std::uint64_t{256} << 20;

  // Open the files and parse their headers. Buffers must outlive the result.
  OpenImages(std::vector<Input> inputs, const Limits& limits, int num_threads);

  // The upright sizes, or why there is none.
  const std::vector<Outcome>& opened() const { return opened_; }

  // Empty of a file that is not held.
  std::span<const std::uint8_t> bytes(std::size_t image) const { return files_[image].bytes; }
  bool is_packed(std::size_t image) const { return files_[image].is_packed; }
  const Input& input(std::size_t image) const { return files_[image].input; }

  // Decode and resample. An outcome per task; where its status is not `read`, the task's values are undefined. The
  // request's own grid does not count. However many the threads, the planes of all images that are decoded at a time
  // together take at most the limit on memory, and so do the files that are read again, and the checkpoints of indexes.
  // With a box and an index, only MCUs between the checkpoints around the box are decoded; an index that does not fit costs
  // time alone.
  std::vector<Outcome> read(std::span<const ReadTask> tasks, const SpectrumRequest& request,
                            const ReadOptions& options) const;

 private:
  struct File {
    Input input;
    std::unique_ptr<std::uint8_t[]> held;
    std::uint64_t size = 0;
    std::span<const std::uint8_t> bytes = {};
    std::unique_ptr<ParsedHeader> header;         // of a JPEG that is held
    bool is_packed = false;
  };
  class Worker;

  Status open(File& file, MemoryBudget& budget, Outcome& outcome);
  void load(File& file, std::vector<std::uint8_t>& begin);
  void release(File& file) noexcept;

  Limits limits_;
  std::vector<File> files_;
  std::vector<Outcome> opened_;
  std::atomic<std::uint64_t> held_bytes_{0};
};

}  // namespace prepixel
