// Files read whole, or as far as their header needs.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "jpeg/types.hpp"

namespace prepixel {

// An open regular file, closed at the end. std::system_error: the system refuses. JpegFault (unsupported): it is a pipe, a
// socket or a device, which is never waited for.
class File {
 public:
  explicit File(const std::string& path);  // UTF-8 on Windows, bytes elsewhere
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  std::size_t size() const { return size_; }

  // Append to `bytes` from where the last call ended, until it holds `size` bytes or the file ends.
  void read_up_to(std::size_t size, std::vector<std::uint8_t>& bytes);

 private:

  int descriptor_ = -1;
  std::size_t size_ = 0;
};

// Holds the bytes of one file at a time.
class FileSource {
 public:
  explicit FileSource(const Limits& limits) : limits_(limits) {}

  // `reserve` is called with the file's size before memory is taken.
  // JpegFault (limit): the file is larger than max_memory_bytes.
  std::span<const std::uint8_t> read(const std::string& path, const std::function<void(std::uint64_t)>& reserve);

  // Read the first 64 KiB, enough for the header of nearly every file. `whole` says whether that is all of it.
  std::span<const std::uint8_t> read_begin(const std::string& path, bool& whole);

  // Free the memory of a large file. That of small ones is used again.
  void release_large();

 private:
  Limits limits_;
  std::vector<std::uint8_t> bytes_;
};

}  // namespace prepixel
