#include "jpeg/orientation.hpp"

#include <cstddef>
#include <string_view>

namespace prepixel {

namespace {

using namespace std::string_view_literals;

constexpr int upright = 1;
constexpr std::uint32_t orientation_tag = 0x0112;

// Numbers of a TIFF structure, in either byte order; empty if out of bounds.
class Tiff {
 public:
  explicit Tiff(std::string_view bytes) : bytes_(bytes), big_(bytes.starts_with("MM")) {}

  std::optional<std::uint32_t> number(std::size_t offset, int width) const {
    if (offset > bytes_.size() || bytes_.size() - offset < static_cast<std::size_t>(width)) return std::nullopt;
    std::uint32_t value = 0;
    for (int i = 0; i < width; ++i) {
      const auto byte = static_cast<unsigned char>(bytes_[offset + static_cast<std::size_t>(big_ ? i : width - 1 - i)]);
      value = value << 8 | byte;
    }
    return value;
  }

 private:
  std::string_view bytes_;
  bool big_;
};

// Return the bytes per value of an integer type; 0 for other types. Source: TIFF 6.0, section 2.
int integer_width(std::uint32_t type) {
  switch (type) {
    case 1:  // BYTE
    case 6:  // SBYTE
      return 1;
    case 3:  // SHORT
    case 8:  // SSHORT
      return 2;
    case 4:  // LONG
    case 9:  // SLONG
      return 4;
    default: return 0;
  }
}

// Tag 0x0112 of the first directory. An entry without values, or of another type, is ignored.
std::optional<int> exif_orientation(std::string_view bytes) {
  if (!bytes.starts_with("MM") && !bytes.starts_with("II")) return std::nullopt;
  const Tiff tiff(bytes);
  if (tiff.number(2, 2) != 42u) return std::nullopt;
  const auto directory = tiff.number(4, 4);
  const auto entries = directory ? tiff.number(*directory, 2) : std::nullopt;
  for (std::size_t i = 0; i < entries.value_or(0); ++i) {
    const std::size_t entry = std::size_t{*directory} + 2 + 12 * i;
    const auto tag = tiff.number(entry, 2);
    if (!tag) return std::nullopt;
    if (*tag != orientation_tag) continue;
    const int width = integer_width(tiff.number(entry + 2, 2).value_or(0));
    const auto count = tiff.number(entry + 4, 4);
    if (width == 0 || count.value_or(0) == 0) continue;
    // Up to 4 bytes of values are in the entry itself, more at the offset in it.
    const bool inside = *count <= 4u / static_cast<unsigned>(width);
    const auto place = inside ? std::optional(static_cast<std::uint32_t>(entry + 8)) : tiff.number(entry + 8, 4);
    const auto value = place ? tiff.number(*place, width) : std::nullopt;
    if (!value) return std::nullopt;
    return *value >= 1 && *value <= 8 ? static_cast<int>(*value) : upright;
  }
  return std::nullopt;
}

std::string_view without_spaces(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  return first == std::string_view::npos ? std::string_view() : text.substr(first);
}

// The digit after `tiff:Orientation`: ="6", = '6' or >6<. Source: Adobe XMP, part 1, 7.4 and 7.5.
std::optional<int> xmp_orientation(std::string_view packet) {
  constexpr std::string_view name = "tiff:Orientation";
  for (std::size_t at = packet.find(name); at != std::string_view::npos; at = packet.find(name, at + name.size())) {
    std::string_view rest = without_spaces(packet.substr(at + name.size()));
    if (rest.empty()) return std::nullopt;
    char end = '<';
    if (rest[0] == '=') {
      rest = without_spaces(rest.substr(1));
      if (rest.empty() || (rest[0] != '"' && rest[0] != '\'')) continue;
      end = rest[0];
    } else if (rest[0] != '>') {
      continue;
    }
    if (rest.size() >= 3 && rest[1] >= '1' && rest[1] <= '8' && rest[2] == end) return rest[1] - '0';
  }
  return std::nullopt;
}

}  // namespace

void read_orientation(std::span<const std::uint8_t> contents, Orientation& orientation) {
  constexpr std::string_view exif = "Exif\0"sv, xmp = "http://ns.adobe.com/xap/1.0/\0"sv;
  const std::string_view text(reinterpret_cast<const char*>(contents.data()), contents.size());
  if (text.starts_with(exif) && text.size() > 6) {
    if (!orientation.exif) orientation.exif = exif_orientation(text.substr(6));
  } else if (text.starts_with(xmp)) {
    if (!orientation.xmp) orientation.xmp = xmp_orientation(text.substr(xmp.size()));
  }
}

}  // namespace prepixel
