// Files read whole, or as far as their header needs.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "jpeg/types.hpp"

namespace prepixel {

constexpr std::size_t header_bytes = 1 << 16;     // enough for the header of nearly every file

// JpegFault (limit): a file of this size is larger than max_memory_bytes.
void check_file_size(std::uint64_t size, const Limits& limits);

// An open regular file, closed at the end. std::system_error: the system refuses. JpegFault (unsupported): it is a pipe, a
// socket or a device, which is never waited for.
class OpenFile {
 public:
  explicit OpenFile(const std::string& path);  // UTF-8 on Windows, bytes elsewhere
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  std::size_t size() const { return size_; }

  // Fill `bytes` from where the last call ended; return how many there were: fewer at the file's end.
  std::size_t read(std::span<std::uint8_t> bytes);

 private:
  int descriptor_ = -1;
  std::size_t size_ = 0;
};

// Holds the bytes of one file at a time.
class FileSource {
 public:
  explicit FileSource(const Limits& limits) : limits_(limits) {}

  // `reserve` is called with the file's size before memory is taken. JpegFault (limit): as check_file_size.
  std::span<const std::uint8_t> read(const std::string& path, const std::function<void(std::uint64_t)>& reserve);

  // Read the first 64 KiB. `whole` says whether that is all of it.
  std::span<const std::uint8_t> read_begin(const std::string& path, bool& whole);

  // Free the memory of a large file. That of small ones is used again.
  void release_large();

 private:
  Limits limits_;
  std::vector<std::uint8_t> bytes_;
};

// Frees the memory of a large file at the end. Declared behind the share of a budget, it does so before the share goes back.
class LargeFileRelease {
 public:
  explicit LargeFileRelease(FileSource& files) : files_(files) {}
  ~LargeFileRelease() { files_.release_large(); }
  LargeFileRelease(const LargeFileRelease&) = delete;
  LargeFileRelease& operator=(const LargeFileRelease&) = delete;

 private:
  FileSource& files_;
};

}  // namespace prepixel
