#include "index/embedded_index.hpp"

#include <algorithm>
#include <limits>

#include "index/jpeg_index.hpp"
#include "jpeg/markers.hpp"
#include "packed/xxh64.hpp"

namespace prepixel {

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr const auto& identifier = index_identifier;
constexpr std::size_t part_header = identifier.size() + 4;  // two big-endian numbers: this part's, from 1, and of parts
constexpr std::size_t most_contents = 65533;
constexpr std::size_t most_part = most_contents - part_header;

struct Metadata {
  std::vector<Segment> parts;
  std::size_t end = 0;  // of the APPn and COM segments in front of everything else
};

// The APPn and COM segments right behind SOI. A file that is no JPEG has none; decoding it says what is wrong.
Metadata leading_segments(std::span<const std::uint8_t> file) {
  Metadata metadata;
  if (file.size() < 4 || file[0] != 0xFF || file[1] != marker::soi) return metadata;
  metadata.end = 2;
  MarkerReader markers(file);
  markers.move_to(2);
  try {
    while (const std::optional<Marker> mark = markers.next()) {
      const bool is_metadata = mark->code == marker::com || (mark->code >= marker::app0 && mark->code <= marker::app15);
      if (!is_metadata || mark->offset != mark->stray_begin) break;
      const Segment segment = markers.segment(*mark, "");
      if (holds_index(segment) && segment.contents.size() > part_header) metadata.parts.push_back(segment);
      metadata.end = markers.offset();
    }
  } catch (const JpegFault&) {  // the segment is truncated
  }
  return metadata;
}

std::size_t number_at(const Segment& segment, std::size_t at) {
  return std::size_t{segment.contents[at]} << 8 | segment.contents[at + 1];
}

Bytes segments_of(const Bytes& index) {
  const std::size_t num_parts = (index.size() + most_part - 1) / most_part;
  Bytes out;
  for (std::size_t part = 0; part < num_parts; ++part) {
    const std::size_t begin = part * most_part, size = std::min(most_part, index.size() - begin);
    const std::size_t length = 2 + part_header + size;
    out.insert(out.end(), {0xFF, marker::app11, static_cast<std::uint8_t>(length >> 8), static_cast<std::uint8_t>(length)});
    out.insert(out.end(), identifier.begin(), identifier.end());
    for (const std::size_t number : {part + 1, num_parts})
      out.insert(out.end(), {static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number)});
    out.insert(out.end(), index.begin() + static_cast<std::ptrdiff_t>(begin),
               index.begin() + static_cast<std::ptrdiff_t>(begin + size));
  }
  return out;
}

void shift(JpegIndex& index, std::size_t distance) {
  for (ScanCheckpoints& scan : index.scans) {
    scan.data_begin += distance;
    scan.data_end += distance;
    for (Checkpoint& point : scan.checkpoints) point.bit += 8 * std::uint64_t{distance};
  }
}

}  // namespace

Bytes embedded_index(std::span<const std::uint8_t> file) {
  Bytes index;
  const Metadata metadata = leading_segments(file);
  for (std::size_t i = 0; i < metadata.parts.size(); ++i) {
    const Segment& part = metadata.parts[i];
    if (number_at(part, identifier.size()) != i + 1 ||
        number_at(part, identifier.size() + 2) != metadata.parts.size())
      return {};
    index.insert(index.end(), part.contents.begin() + part_header, part.contents.end());
  }
  return index;
}

Bytes without_index(std::span<const std::uint8_t> file) {
  Bytes out;
  std::size_t at = 0;
  for (const Segment& part : leading_segments(file).parts) {
    out.insert(out.end(), file.begin() + static_cast<std::ptrdiff_t>(at),
               file.begin() + static_cast<std::ptrdiff_t>(part.marker_offset));
    at = part.offset + part.contents.size();
  }
  out.insert(out.end(), file.begin() + static_cast<std::ptrdiff_t>(at), file.end());
  return out;
}

Bytes embed_index(std::span<const std::uint8_t> file, const Limits& limits, int every) {
  const Bytes plain = without_index(file);
  JpegIndex index = index_jpeg(plain, limits, every);
  const std::size_t place = leading_segments(plain).end;
  index.file_checksum = xxh64(std::span(plain).subspan(place), 0);
  // The size of the segments is a part of what they say.
  Bytes segments;
  for (std::size_t distance = 0;; distance = segments.size()) {
    JpegIndex moved = index;
    shift(moved, distance);
    moved.file_size = plain.size() + distance;
    moved.checked_begin = static_cast<std::uint32_t>(place + distance);
    segments = segments_of(write_index(moved));
    if (segments.size() == distance) break;
  }
  if (segments.size() / most_contents > std::numeric_limits<std::uint16_t>::max() / 2)
    throw JpegFault(Fault::limit, no_offset, "an index of more than 2 GiB", "Raise `every`");
  Bytes out;
  out.reserve(plain.size() + segments.size());
  out.insert(out.end(), plain.begin(), plain.begin() + static_cast<std::ptrdiff_t>(place));
  out.insert(out.end(), segments.begin(), segments.end());
  out.insert(out.end(), plain.begin() + static_cast<std::ptrdiff_t>(place), plain.end());
  return out;
}

}  // namespace prepixel
