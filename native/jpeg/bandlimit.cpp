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
// CIPA DC-007: offsets of further pictures after EOI, which are not copied.
bool is_multi_picture(const KeptSegment& segment) {
  return segment.code == marker::app0 + 2 && begins_with(segment.contents, std::string_view("MPF\0", 4));
}

// `jfif` replaces a JFIF segment, without its thumbnail.
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

void verify(const Image& before, const Bytes& file, const std::vector<EncoderPlane>& planes, const Limits& limits) {
  const PooledImage read(file, {.limits = limits});
  const Image& after = *read;
  bool same = after.height == before.height && after.width == before.width && after.color == before.color &&
              after.orientation == before.orientation && after.components.size() == before.components.size();
  for (std::size_t i = 0; same && i < planes.size(); ++i) {
    same = same_where_kept(before.components[i], after.components[i], planes[i].kept);
  }
  if (!same) throw std::logic_error("a band-limited file does not read back as it was written; please report this file");
}

}  // namespace

// Differences are or-ed, so that the loop has no branch.
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
  MarkerReader markers(file);
  markers.move_to(2);
  while (const std::optional<Marker> mark = markers.next()) {
    if (mark->code == marker::tem || marker::is_restart(mark->code)) continue;
    if (mark->code == marker::sos || mark->code == marker::eoi) break;
    const Segment segment = markers.segment(*mark, "Fetch the file again");
    if (holds_index(segment)) continue;
    if ((mark->code >= marker::app0 && mark->code <= marker::app15) || mark->code == marker::com)
      segments.push_back({mark->code, segment.contents});
  }
  return segments;
}

Bytes bandlimit(std::span<const std::uint8_t> file, const BandlimitRequest& request, const Limits& limits) {
  const PooledImage read(file, {.limits = limits});
  const Image& image = *read;
  std::array<std::uint8_t, 14> jfif{};
  EncoderInput limited;
  limited.height = image.height;
  limited.width = image.width;
  limited.color = image.color;
  limited.orientation = image.orientation;
  limited.restart_rows = request.restart_rows;
  limited.restart_interval =
      request.restart_interval.value_or(request.restart_rows != 0 ? 0 : image.restart_interval);
  limited.segments = choose(header_segments(file), request.metadata, jfif);
  for (std::size_t i = 0; i < image.components.size(); ++i) {
    const Component& component = image.components[i];
    limited.planes.push_back({.identifier = component.identifier,
                              .sampling_v = component.sampling_v,
                              .sampling_h = component.sampling_h,
                              .blocks_down = component.blocks_down,
                              .blocks_across = component.blocks_across,
                              .quantized = component.blocks.data()->data(),
                              .quantization = component.quantization,
                              .kept = kept_of(i, image.color, request.kept)});
  }
  std::uint64_t plane_bytes = 0;
  for (const Component& component : image.components) plane_bytes += component.blocks.size() * sizeof(Block);
  Limits rest = limits;
  rest.max_memory_bytes = limits.max_memory_bytes - std::min(limits.max_memory_bytes, plane_bytes);
  Bytes result = encode(limited, rest);
  check_memory("a band-limited JPEG with its planes, once to encode and once to verify,", 2 * plane_bytes + result.size(),
               limits);
  verify(image, result, limited.planes, limits);
  return result;
}

}  // namespace prepixel
