#include "batch/batch.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <functional>
#include <new>
#include <numeric>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "packed/packed_image.hpp"

namespace prepixel {

namespace {

// Enough for the header of nearly every file.
constexpr std::size_t header_bytes = 1 << 16;

[[noreturn]] void throw_errno() { throw std::system_error(errno, std::generic_category()); }

// An open file; closed at the end. std::system_error: the system refuses.
class File {
 public:
  explicit File(const std::string& path) : descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (descriptor_ < 0) throw_errno();
  }
  ~File() { close(descriptor_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  std::size_t size() const {
    struct stat status{};
    if (fstat(descriptor_, &status) != 0) throw_errno();
    if (S_ISDIR(status.st_mode)) throw std::system_error(EISDIR, std::generic_category());
    // A FIFO or a device could block or never end.
    if (!S_ISREG(status.st_mode)) throw std::system_error(ENODEV, std::generic_category());
    return static_cast<std::size_t>(std::max<off_t>(status.st_size, 0));
  }

  // Fill `bytes` from where the last call ended, up to `size` in all or the file's end.
  void read_up_to(std::size_t size, std::vector<std::uint8_t>& bytes) {
    std::size_t filled = bytes.size();
    bytes.resize(size);
    while (filled < size) {
      const ssize_t count = ::read(descriptor_, bytes.data() + filled, size - filled);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) throw_errno();
      if (count == 0) break;
      filled += static_cast<std::size_t>(count);
    }
    bytes.resize(filled);
  }

 private:
  int descriptor_;
};

void check_size(std::size_t size, const Limits& limits) {
  if (size > limits.max_memory_bytes)
    throw JpegFault(Fault::limit, no_offset,
                    "a file of " + std::to_string(size) + " bytes is larger than the limit of " +
                        std::to_string(limits.max_memory_bytes),
                    "Raise Limits.max_memory_bytes if you trust the file");
}

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

// Run one image's work; whatever it throws becomes its outcome.
template <class Work>
void attempt(Outcome& outcome, const Work& work) {
  try {
    outcome.status = work(outcome);
  } catch (const JpegFault& fault) {
    outcome.status = Status::faulty;
    outcome.fault = fault;
  } catch (const std::system_error& error) {
    outcome.status = Status::unreadable;
    outcome.error_number = error.code().value();
  } catch (const std::bad_alloc&) {
    outcome.status = Status::out_of_memory;
  } catch (const std::exception& error) {
    outcome.status = Status::refused;
    outcome.message = error.what();
  }
}

// Call `work(next)` on each thread, which takes indices from `next` until there are none. The calling thread is one of
// them, so one thread starts none.
void on_threads(std::size_t count, int num_threads, const std::function<void(std::atomic<std::size_t>&)>& work) {
  const std::size_t wanted = num_threads > 0 ? static_cast<std::size_t>(num_threads)
                                             : std::max<std::size_t>(1, std::thread::hardware_concurrency());
  std::atomic<std::size_t> next{0};
  std::vector<std::jthread> helpers;
  try {
    while (helpers.size() + 1 < std::min(wanted, count)) helpers.emplace_back([&] { work(next); });
  } catch (const std::system_error&) {
    // The system gives no more threads; those there are do the work.
  }
  work(next);
}

// Keeps what it reads of one file until the next.
class Reader {
 public:
  explicit Reader(const Limits& limits) : limits_(limits) {}

  std::span<const std::uint8_t> whole(const Input& input) {
    if (!input.path) return input.bytes;
    File file(*input.path);
    const std::size_t size = file.size();
    check_size(size, limits_);
    bytes_.clear();
    file.read_up_to(size, bytes_);
    return bytes_;
  }

  // Nothing where the file is no JPEG.
  std::optional<Header> header(const Input& input) {
    if (!input.path) return header_of(input.bytes);
    File file(*input.path);
    const std::size_t size = file.size();
    bytes_.clear();
    file.read_up_to(std::min(size, header_bytes), bytes_);
    if (size > header_bytes) {
      try {
        return header_of(bytes_);
      } catch (const JpegFault& fault) {
        if (fault.kind != Fault::truncated) throw;
      }
      check_size(size, limits_);
      file.read_up_to(size, bytes_);
    }
    return header_of(bytes_);
  }

 private:
  std::optional<Header> header_of(std::span<const std::uint8_t> bytes) const {
    if (begins_like_pack(bytes)) return read_pack_header(bytes, limits_);
    if (!begins_like_jpeg(bytes)) return std::nullopt;
    return read_header(bytes, limits_);
  }

  const Limits& limits_;
  std::vector<std::uint8_t> bytes_;
};

// Files' places, those of many bytes first: so that no thread begins a large one when the others are done. Paths, whose
// sizes nobody knows yet, come last, in order.
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
  std::vector<Outcome> outcomes(inputs.size());
  const std::vector<std::size_t> order = largest_first(inputs);
  on_threads(inputs.size(), num_threads, [&](std::atomic<std::size_t>& next) {
    SpectrumMaker maker(request);
    Reader reader(options.limits);
    for (std::size_t at = next++; at < inputs.size(); at = next++) {
      const std::size_t i = order[at];
      attempt(outcomes[i], [&](Outcome& outcome) {
        const std::span<const std::uint8_t> file = reader.whole(inputs[i]);
        if (begins_like_pack(file)) {
          const Packed packed = read_pack(file, inputs[i].payload, options.limits);
          note_size(packed, outcome);
          maker.make(view_of(packed), boxes.empty() ? nullptr : &boxes[i], !flips.empty() && flips[i] != 0,
                     static_cast<std::uint8_t*>(out) + i * image_bytes);
          return Status::read;
        }
        if (!begins_like_jpeg(file)) return Status::needs_pixels;
        const Header header = read_header(file, options.limits);
        if (needs_pixels(header)) return Status::needs_pixels;
        const Box* box = boxes.empty() ? nullptr : &boxes[i];
        DecodeOptions decoding = options;
        decoding.regions = [box](const Image& frame) { return needed_blocks(view_of(frame), box); };
        const PassingImage image(file, std::move(decoding));
        note_size(*image, outcome);
        outcome.missing_blocks = image->missing_blocks;
        maker.make(view_of(*image), box, !flips.empty() && flips[i] != 0,
                   static_cast<std::uint8_t*>(out) + i * image_bytes);
        return Status::read;
      });
    }
  });
  return outcomes;
}

std::vector<Outcome> read_sizes(std::span<const Input> inputs, const Limits& limits, int num_threads) {
  std::vector<Outcome> outcomes(inputs.size());
  on_threads(inputs.size(), num_threads, [&](std::atomic<std::size_t>& next) {
    Reader reader(limits);
    for (std::size_t i = next++; i < inputs.size(); i = next++) {
      attempt(outcomes[i], [&](Outcome& outcome) {
        const std::optional<Header> header = reader.header(inputs[i]);
        if (!header) return Status::needs_pixels;
        note_size(*header, outcome);
        return Status::read;
      });
    }
  });
  return outcomes;
}

}  // namespace prepixel
