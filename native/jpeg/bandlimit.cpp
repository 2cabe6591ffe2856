#include "jpeg/bandlimit.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string_view>

#include "jpeg/decoder.hpp"
#include "jpeg/markers.hpp"

namespace prepixel {

namespace {

bool begins_with(std::span<const std::uint8_t> bytes, std::string_view text) {
  return bytes.size() >= text.size() && std::memcmp(bytes.data(), text.data(), text.size()) == 0;
}

bool is_jfif(const KeptSegment& segment) {
  return segment.code == marker::app0 && segment.contents.size() >= 14 &&
         begins_with(segment.contents, std::string_view("JFIF\0", 5));
}
bool is_adobe(const KeptSegment& segment) {
  return segment.code == marker::app14 && segment.contents.size() >= 12 && begins_with(segment.contents, "Adobe");
}
bool is_icc(const KeptSegment& segment) {
  return segment.code == marker::app0 + 2 && begins_with(segment.contents, std::string_view("ICC_PROFILE\0", 12));
}
// CIPA DC-007: offsets of further pictures behind EOI, which do not come along.
bool is_multi_picture(const KeptSegment& segment) {
  return segment.code == marker::app0 + 2 && begins_with(segment.contents, std::string_view("MPF\0", 4));
}

// `jfif` takes the place of a JFIF segment, without its thumbnail.
std::vector<KeptSegment> choose(const std::vector<KeptSegment>& segments, Metadata metadata, std::span<std::uint8_t> jfif) {
  std::vector<KeptSegment> chosen;
  bool seen_jfif = false;
  for (const KeptSegment& segment : segments) {
    if (is_multi_picture(segment)) continue;
    if (metadata == Metadata::all || is_adobe(segment) || (metadata == Metadata::icc && is_icc(segment))) {
      chosen.push_back(segment);
    } else if (is_jfif(segment) && !seen_jfif) {
      seen_jfif = true;
      std::copy_n(segment.contents.begin(), 12, jfif.begin());
      jfif[12] = jfif[13] = 0;
      chosen.push_back({segment.code, jfif});
    }
  }
  return chosen;
}

void verify(const Image& before, const Bytes& file, const std::vector<PlaneToCode>& planes, const Limits& limits) {
  const PassingImage read(file, {.limits = limits});
  const Image& after = *read;
  bool same = after.height == before.height && after.width == before.width && after.color == before.color &&
              after.orientation == before.orientation && after.components.size() == before.components.size();
  for (std::size_t i = 0; same && i < planes.size(); ++i) {
    same = same_where_kept(before.components[i], after.components[i], planes[i].kept);
  }
  if (!same) throw std::logic_error("a thinned file does not read back as it was written; please report this file");
}

}  // namespace

// Bits of a difference are gathered, so that the loop has no branch.
bool same_where_kept(const Component& before, const Component& after, std::uint64_t kept) {
  if (before.blocks.size() != after.blocks.size() || before.quantization != after.quantization ||
      before.sampling_v != after.sampling_v || before.sampling_h != after.sampling_h)
    return false;
  Block mask;
  for (std::size_t i = 0; i < 64; ++i) mask[i] = (kept >> i & 1) != 0 ? std::int16_t{-1} : std::int16_t{0};
  for (std::size_t block = 0; block < before.blocks.size(); ++block) {
    unsigned difference = 0;
    for (std::size_t i = 0; i < 64; ++i) {
      difference |= static_cast<unsigned>((before.blocks[block][i] & mask[i]) ^ after.blocks[block][i]);
    }
    if (difference != 0) return false;
  }
  return true;
}

std::vector<KeptSegment> header_segments(std::span<const std::uint8_t> file) {
  std::vector<KeptSegment> segments;
  std::size_t at = 2;
  for (;;) {
    while (at < file.size() && file[at] != 0xFF) ++at;  // bytes between segments, and fill bytes (B.1.1.2)
    while (at < file.size() && file[at] == 0xFF) ++at;
    if (at == file.size()) return segments;
    const std::uint8_t code = file[at++];
    if (code == 0 || code == marker::tem || marker::is_restart(code)) continue;
    if (code == marker::sos || code == marker::eoi || file.size() - at < 2) return segments;
    const std::size_t length = static_cast<std::size_t>(file[at] << 8 | file[at + 1]);
    if (length < 2 || file.size() - at < length) return segments;
    if ((code >= marker::app0 && code <= marker::app15) || code == marker::com) {
      segments.push_back({code, file.subspan(at + 2, length - 2)});
    }
    at += length;
  }
}

Bytes thin(std::span<const std::uint8_t> file, const ThinRequest& request, const Limits& limits) {
  const PassingImage read(file, {.limits = limits});
  const Image& image = *read;
  std::array<std::uint8_t, 14> jfif{};
  ImageToCode thinned;
  thinned.height = image.height;
  thinned.width = image.width;
  thinned.color = image.color;
  thinned.orientation = image.orientation;
  thinned.restart_rows = request.restart_rows;
  thinned.restart_interval =
      request.restart_interval.value_or(request.restart_rows != 0 ? 0 : image.restart_interval);
  thinned.segments = choose(header_segments(file), request.metadata, jfif);
  for (std::size_t i = 0; i < image.components.size(); ++i) {
    const Component& component = image.components[i];
    thinned.planes.push_back({.identifier = component.identifier,
                              .sampling_v = component.sampling_v,
                              .sampling_h = component.sampling_h,
                              .blocks_down = component.blocks_down,
                              .blocks_across = component.blocks_across,
                              .quantized = component.blocks.data()->data(),
                              .quantization = component.quantization,
                              .kept = kept_of(i, image.color, request.kept)});
  }
  Bytes result = encode(thinned);
  verify(image, result, thinned.planes, limits);
  return result;
}

}  // namespace prepixel
