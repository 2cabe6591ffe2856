#include "jpeg/bit_reader.hpp"

#include <algorithm>
#include <cstring>

namespace prepixel {

namespace {

// Return the offset of the first byte after the run of 0xFF that begins at `offset`.
std::size_t skip_fill(std::span<const std::uint8_t> file, std::size_t offset) {
  while (offset < file.size() && file[offset] == 0xFF) ++offset;
  return offset;
}

}  // namespace

EntropySegment SegmentReader::read(std::size_t offset, std::size_t limit) {
  const std::span<const std::uint8_t> file = file_.first(std::min(file_.size(), limit));
  const std::size_t needed = file.size() - offset + segment_padding;
  if (capacity_ < needed) {
    buffer_.reset(new std::uint8_t[needed]);
    capacity_ = needed;
  }
  EntropySegment segment{
      .data = buffer_.get(), .file_begin = offset, .file_end = file.size(), .after_marker = file.size()};
  std::uint8_t* out = buffer_.get();
  const std::uint8_t* bytes = file.data();
  while (offset < file.size()) {
    const auto* mark = static_cast<const std::uint8_t*>(std::memchr(bytes + offset, 0xFF, file.size() - offset));
    const std::size_t until = mark != nullptr ? static_cast<std::size_t>(mark - bytes) : file.size();
    std::memcpy(out, bytes + offset, until - offset);
    out += until - offset;
    if (mark == nullptr) break;
    // 0xFF 0x00 is a data byte. As libjpeg does, accept fill bytes (B.1.1.2) between the two.
    const std::size_t code = skip_fill(file, until);
    if (code == file.size()) {
      segment.file_end = until;
      break;
    }
    if (bytes[code] != 0) {
      segment.file_end = until;
      segment.marker = bytes[code];
      segment.after_marker = code + 1;
      break;
    }
    *out++ = 0xFF;
    offset = code + 1;
  }
  segment.size = static_cast<std::size_t>(out - buffer_.get());
  std::memset(out, 0, segment_padding);
  return segment;
}

std::size_t SegmentReader::advance(std::size_t offset, std::size_t count) const {
  while (count != 0) {
    const auto* mark = static_cast<const std::uint8_t*>(std::memchr(file_.data() + offset, 0xFF, count));
    if (mark == nullptr) return offset + count;
    const auto at = static_cast<std::size_t>(mark - file_.data());
    count -= at - offset + 1;
    offset = skip_fill(file_, at) + 1;
  }
  return offset;
}

std::size_t SegmentReader::behind_byte(std::size_t offset) const {
  if (offset >= file_.size()) return file_.size();
  return std::min(file_.size(), file_[offset] == 0xFF ? skip_fill(file_, offset) + 1 : offset + 1);
}

std::size_t SegmentReader::file_offset(const EntropySegment& segment, std::size_t index) const {
  std::size_t offset = segment.file_begin;
  for (std::size_t at = 0; at < index && offset < segment.file_end; ++at) {
    offset = file_[offset] == 0xFF ? skip_fill(file_, offset) + 1 : offset + 1;
  }
  return offset < segment.file_end ? offset : segment.file_end;
}

}  // namespace prepixel
