#include "batch/file_source.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#ifdef _WIN32
#include <io.h>
#include <share.h>

#include <filesystem>
#else
#include <unistd.h>
#endif

#include <algorithm>
#include <cerrno>
#include <limits>
#include <system_error>

namespace prepixel {

namespace {

constexpr std::size_t most_reused_bytes = 1 << 24;

[[noreturn]] void throw_errno() { throw std::system_error(errno, std::generic_category()); }

// What differs between systems: open a file that child processes do not inherit, ask what it is, read, close.
#ifdef _WIN32
using Information = struct _stat64;

int open_file(const std::string& path) {
  const std::filesystem::path name(std::u8string(path.begin(), path.end()));
  int descriptor = -1;
  errno = _wsopen_s(&descriptor, name.c_str(), _O_RDONLY | _O_BINARY | _O_NOINHERIT, _SH_DENYNO, 0);
  return descriptor;
}
int file_information(int descriptor, Information& information) { return _fstat64(descriptor, &information); }
std::ptrdiff_t read_file(int descriptor, void* to, std::size_t size) {
  constexpr std::size_t most = std::numeric_limits<int>::max();
  return _read(descriptor, to, static_cast<unsigned>(std::min(size, most)));
}
void close_file(int descriptor) { _close(descriptor); }
bool is_directory(const Information& information) { return (information.st_mode & _S_IFMT) == _S_IFDIR; }
bool is_regular(const Information& information) { return (information.st_mode & _S_IFMT) == _S_IFREG; }
#else
using Information = struct stat;

// O_NONBLOCK: to open a FIFO does not wait for its writer. It changes nothing about regular files.
int open_file(const std::string& path) { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); }
int file_information(int descriptor, Information& information) { return ::fstat(descriptor, &information); }
std::ptrdiff_t read_file(int descriptor, void* to, std::size_t size) { return ::read(descriptor, to, size); }
void close_file(int descriptor) { ::close(descriptor); }
bool is_directory(const Information& information) { return S_ISDIR(information.st_mode); }
bool is_regular(const Information& information) { return S_ISREG(information.st_mode); }
#endif

}  // namespace

void check_file_size(std::uint64_t size, const Limits& limits) {
  if (size > limits.max_memory_bytes)
    throw JpegFault(Fault::limit, no_offset,
                    "a file of " + std::to_string(size) + " bytes is larger than the limit of " +
                        std::to_string(limits.max_memory_bytes),
                    "Raise Limits.max_memory_bytes if you trust the file");
}

OpenFile::OpenFile(const std::string& path) : descriptor_(open_file(path)) {
  if (descriptor_ < 0) throw_errno();
  try {
    Information information{};
    if (file_information(descriptor_, information) != 0) throw_errno();
    if (is_directory(information)) throw std::system_error(EISDIR, std::generic_category());
    if (!is_regular(information))
      throw JpegFault(Fault::unsupported, no_offset, "a pipe, socket or device, not a regular file",
                      "Copy its contents to a file");
    size_ = static_cast<std::size_t>(std::max<std::int64_t>(information.st_size, 0));
  } catch (...) {
    close_file(descriptor_);
    throw;
  }
}

OpenFile::~OpenFile() { close_file(descriptor_); }

std::size_t OpenFile::read(std::span<std::uint8_t> bytes) {
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const std::ptrdiff_t count = read_file(descriptor_, bytes.data() + filled, bytes.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw_errno();
    if (count == 0) break;
    filled += static_cast<std::size_t>(count);
  }
  return filled;
}

std::span<const std::uint8_t> FileSource::read(const std::string& path,
                                               const std::function<void(std::uint64_t)>& reserve) {
  OpenFile file(path);
  check_file_size(file.size(), limits_);
  release_large();
  reserve(file.size());
  bytes_.resize(file.size());
  bytes_.resize(file.read(bytes_));
  return bytes_;
}

std::span<const std::uint8_t> FileSource::read_begin(const std::string& path, bool& whole) {
  OpenFile file(path);
  whole = file.size() <= header_bytes;
  bytes_.resize(std::min(file.size(), header_bytes));
  bytes_.resize(file.read(bytes_));
  return bytes_;
}

void FileSource::release_large() {
  if (bytes_.capacity() > most_reused_bytes) std::vector<std::uint8_t>().swap(bytes_);
}

}  // namespace prepixel
