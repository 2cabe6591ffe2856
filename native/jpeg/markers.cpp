#include "jpeg/markers.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>

namespace prepixel {

namespace {

// Reads the contents of a segment in order. JpegFault: read past their end.
class Cursor {
 public:
  explicit Cursor(const Segment& segment) : segment_(segment) {}

  std::size_t left() const { return segment_.contents.size() - at_; }
  std::size_t offset() const { return segment_.offset + at_; }
  std::uint8_t u8() {
    if (left() == 0) {
      throw JpegFault(Fault::malformed, segment_.marker_offset,
                      marker::name(segment_.code) + " segment is shorter than what it must hold", hint::damaged);
    }
    return segment_.contents[at_++];
  }
  int u16() {
    const int high = u8();
    return high << 8 | u8();
  }

 private:
  const Segment& segment_;
  std::size_t at_ = 0;
};

[[noreturn]] void malformed(std::size_t offset, const std::string& what) {
  throw JpegFault(Fault::malformed, offset, what, hint::damaged);
}

void expect_end(const Cursor& cursor, const Segment& segment) {
  if (cursor.left() != 0) {
    malformed(cursor.offset(), marker::name(segment.code) + " segment is " + counted(cursor.left(), "byte") +
                                   " longer than what it holds");
  }
}

bool begins_with(std::span<const std::uint8_t> bytes, std::string_view text) {
  return bytes.size() >= text.size() && std::memcmp(bytes.data(), text.data(), text.size()) == 0;
}

bool has_identifiers(const FrameHeader& frame, std::array<int, 3> wanted) {
  for (std::size_t i = 0; i < 3; ++i) {
    if (frame.components[i].identifier != wanted[i]) return false;
  }
  return true;
}

}  // namespace

std::string counted(std::uint64_t count, const char* noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

void warn(Image& image, const std::string& text) {
  constexpr std::size_t most = 20;
  if (image.warnings.size() < most) image.warnings.push_back(text);
  if (image.warnings.size() == most) image.warnings.emplace_back("more warnings than these are left out");
}

std::string marker::name(std::uint8_t code) {
  const auto numbered = [code](const char* stem, std::uint8_t first) { return stem + std::to_string(code - first); };
  switch (code) {
    case tem: return "TEM";
    case dht: return "DHT";
    case jpg: return "JPG";
    case dac: return "DAC";
    case soi: return "SOI";
    case eoi: return "EOI";
    case sos: return "SOS";
    case dqt: return "DQT";
    case dnl: return "DNL";
    case dri: return "DRI";
    case dhp: return "DHP";
    case exp: return "EXP";
    case com: return "COM";
    default: break;
  }
  if (code >= sof0 && code <= sof15) return numbered("SOF", sof0);
  if (is_restart(code)) return numbered("RST", rst0);
  if (code >= app0 && code <= app15) return numbered("APP", app0);
  if (code >= jpg0 && code <= jpg13) return numbered("JPG", jpg0);
  constexpr const char* digits = "0123456789ABCDEF";
  return std::string("marker 0xFF") + digits[code >> 4] + digits[code & 15];
}

std::optional<Marker> MarkerReader::next() {
  const std::size_t begin = at_;
  for (;;) {
    while (at_ < file_.size() && file_[at_] != 0xFF) ++at_;
    const std::size_t run = at_;
    while (at_ < file_.size() && file_[at_] == 0xFF) ++at_;
    if (at_ == file_.size()) return std::nullopt;
    const std::uint8_t code = file_[at_++];
    if (code != 0) return Marker{.code = code, .offset = run, .stray_begin = begin};
  }
}

Segment MarkerReader::segment(const Marker& mark, const std::string& hint) {
  const auto ends_inside = [&] {
    return JpegFault(Fault::truncated, file_.size(), "the file ends inside the " + marker::name(mark.code) + " segment",
                     hint);
  };
  if (bytes_left() < 2) throw ends_inside();
  const std::size_t length = static_cast<std::size_t>(file_[at_] << 8 | file_[at_ + 1]);
  if (length < 2) malformed(at_, marker::name(mark.code) + " segment of length " + std::to_string(length));
  if (bytes_left() < length) throw ends_inside();
  const Segment segment{.contents = file_.subspan(at_ + 2, length - 2),
                        .offset = at_ + 2,
                        .marker_offset = mark.offset,
                        .code = mark.code};
  at_ += length;
  return segment;
}

void read_quantization(const Segment& segment, DecoderTables& tables) {
  Cursor cursor(segment);
  while (cursor.left() != 0) {
    const std::size_t offset = cursor.offset();
    const int precision_and_id = cursor.u8();
    const int precision = precision_and_id >> 4;
    const int id = precision_and_id & 15;
    if (id > 3) malformed(offset, "DQT defines quantization table " + std::to_string(id) + "; there are 0 to 3");
    // Like libjpeg, any precision but 0 is taken for 16 bits.
    QuantizationTable table{};
    for (const std::uint8_t natural : zigzag_to_natural) {
      table[natural] = static_cast<std::uint16_t>(precision == 0 ? cursor.u8() : cursor.u16());
    }
    tables.quantization[static_cast<std::size_t>(id)] = table;
  }
}

void read_huffman(const Segment& segment, DecoderTables& tables) {
  Cursor cursor(segment);
  while (cursor.left() != 0) {
    const std::size_t offset = cursor.offset();
    const int class_and_id = cursor.u8();
    if ((class_and_id & 0x0F) > 3 || class_and_id >> 4 > 1) {
      malformed(offset, "DHT defines table " + std::to_string(class_and_id & 15) + " of class " +
                            std::to_string(class_and_id >> 4) + "; there are 0 to 3 of classes 0 (DC) and 1 (AC)");
    }
    HuffmanSpec spec;
    std::size_t num_symbols = 0;
    for (std::size_t length = 1; length <= 16; ++length) num_symbols += spec.counts[length] = cursor.u8();
    if (num_symbols > 256) {
      malformed(offset, "DHT lists " + std::to_string(num_symbols) + " codes in one table; 256 is the most");
    }
    for (std::size_t i = 0; i < num_symbols; ++i) spec.symbols[i] = cursor.u8();
    (class_and_id >> 4 == 0 ? tables.dc : tables.ac)[static_cast<std::size_t>(class_and_id & 15)] = spec;
  }
}

void read_restart_interval(const Segment& segment, DecoderTables& tables) {
  Cursor cursor(segment);
  tables.restart_interval = cursor.u16();
  expect_end(cursor, segment);
}

FrameHeader read_frame(const Segment& segment) {
  Cursor cursor(segment);
  FrameHeader frame;
  frame.offset = segment.marker_offset;
  frame.process = segment.code == marker::sof0   ? Process::baseline
                  : segment.code == marker::sof1 ? Process::extended
                                                 : Process::progressive;
  frame.precision = cursor.u8();
  frame.height = cursor.u16();
  frame.width = cursor.u16();
  const int num_components = cursor.u8();
  if (frame.precision != 8) {
    const char* process = frame.process == Process::progressive ? "progressive" : "extended sequential";
    if (frame.precision == 12) {
      throw JpegFault(Fault::unsupported, segment.marker_offset,
                      std::string("12-bit ") + process + " JPEG (" + marker::name(segment.code) +
                          ", precision 12); only 8 bits per sample are read",
                      "Decode it with libjpeg-turbo 3's djpeg and code it again with 8 bits");
    }
    malformed(segment.offset, "sample precision " + std::to_string(frame.precision) + " in " +
                                  marker::name(segment.code) + "; 8 and 12 exist");
  }
  if (frame.width == 0) malformed(segment.offset + 3, "frame of width 0");
  if (num_components == 0) malformed(segment.offset + 5, "frame without components");
  if (num_components > 4) {
    throw JpegFault(Fault::unsupported, segment.offset + 5,
                    "frame of " + std::to_string(num_components) + " components; 1 to 4 are read",
                    "Split it into images of at most 4 components");
  }
  for (int i = 0; i < num_components; ++i) {
    FrameComponent component;
    component.identifier = cursor.u8();
    const std::size_t offset = cursor.offset();
    const int factors = cursor.u8();
    component.sampling_h = factors >> 4;
    component.sampling_v = factors & 15;
    if (component.sampling_h < 1 || component.sampling_h > 4 || component.sampling_v < 1 || component.sampling_v > 4) {
      malformed(offset, "sampling factors " + std::to_string(component.sampling_h) + "x" +
                            std::to_string(component.sampling_v) + " of component " + std::to_string(i) +
                            "; each is 1 to 4");
    }
    component.table_id = cursor.u8();
    frame.components.push_back(component);
  }
  expect_end(cursor, segment);
  return frame;
}

ScanHeader read_scan(const Segment& segment, const FrameHeader& frame) {
  Cursor cursor(segment);
  ScanHeader scan;
  scan.offset = segment.marker_offset;
  const int num_components = cursor.u8();
  if (num_components < 1 || num_components > 4) {
    malformed(segment.offset, "scan of " + std::to_string(num_components) + " components; 1 to 4 are allowed");
  }
  for (int i = 0; i < num_components; ++i) {
    const std::size_t offset = cursor.offset();
    const std::uint8_t identifier = cursor.u8();
    const int tables = cursor.u8();
    // Some files use one identifier for all components; as in libjpeg, the order in the frame decides.
    std::size_t index = 0;
    const auto taken = [&scan](std::size_t candidate) {
      return std::any_of(scan.components.begin(), scan.components.end(),
                         [candidate](const ScanComponent& c) { return c.index == candidate; });
    };
    while (index < frame.components.size() && (frame.components[index].identifier != identifier || taken(index)))
      ++index;
    if (index == frame.components.size()) {
      malformed(offset, "scan names component " + std::to_string(identifier) +
                            ", which the frame does not hold or the scan named before");
    }
    scan.components.push_back({.index = index, .dc_table = tables >> 4, .ac_table = tables & 15});
  }
  scan.ss = cursor.u8();
  scan.se = cursor.u8();
  const int approximation = cursor.u8();
  scan.ah = approximation >> 4;
  scan.al = approximation & 15;
  expect_end(cursor, segment);
  return scan;
}

int read_number_of_lines(const Segment& segment) {
  Cursor cursor(segment);
  const int lines = cursor.u16();
  expect_end(cursor, segment);
  return lines;
}

bool holds_index(const Segment& segment) {
  return segment.code == marker::app11 && segment.contents.size() >= index_identifier.size() &&
         std::equal(index_identifier.begin(), index_identifier.end(), segment.contents.begin());
}

void read_application(const Segment& segment, Application& application) {
  const auto contents = segment.contents;
  if (segment.code == marker::app0 && contents.size() >= 14 && begins_with(contents, std::string_view("JFIF\0", 5))) {
    application.jfif = true;
  } else if (segment.code == marker::app14 && contents.size() >= 12 && begins_with(contents, "Adobe")) {
    application.adobe_transform = contents[11];
  } else if (segment.code == marker::app1) {
    read_orientation(contents, application.orientation);
  }
}

void refuse_frame(const Segment& segment) {
  const std::string name = marker::name(segment.code);
  const auto unsupported = [&segment](const std::string& what, const std::string& hint) {
    throw JpegFault(Fault::unsupported, segment.marker_offset, what, hint);
  };
  const std::string precision =
      segment.contents.empty() ? "" : ", precision " + std::to_string(static_cast<int>(segment.contents[0]));
  switch (segment.code) {
    case 0xC3:
      unsupported("lossless JPEG (" + name + precision + "): it holds predicted samples, no DCT coefficients",
                  "Decode it with libjpeg-turbo 3's djpeg and code it again as a baseline JPEG");
      break;
    case 0xC9:
    case 0xCA: {
      const char* process = segment.code == 0xC9 ? "extended sequential" : "progressive";
      unsupported(
          "arithmetic-coded " + std::string(process) + " JPEG (" + name + precision + "); Huffman coding alone is read",
          "Re-code it without loss: jpegtran IN > OUT writes Huffman codes");
      break;
    }
    case 0xCB:
      unsupported(
          "arithmetic-coded lossless JPEG (" + name + precision + "): it holds predicted samples, no DCT coefficients",
          "Decode it with the program that wrote it and code it again as a baseline JPEG");
      break;
    case marker::dhp:
    case marker::exp:
    case 0xC5:
    case 0xC6:
    case 0xC7:
    case 0xCD:
    case 0xCE:
    case 0xCF:
      unsupported("hierarchical JPEG (" + name + precision + "): its image is a pyramid of frames",
                  "Decode it with the program that wrote it and code it again as a baseline JPEG");
      break;
    case marker::sof55:
    case marker::lse:
      unsupported("JPEG-LS file (ITU-T T.87, " + name + "): it holds predicted samples, no DCT coefficients",
                  "Decode it with CharLS or FFmpeg and code it again as a baseline JPEG");
      break;
    default:
      unsupported("JPEG with a reserved marker (" + name + ")",
                  "Decode it with the program that wrote it and code it again as a baseline JPEG");
      break;
  }
  throw JpegFault(Fault::unsupported, segment.marker_offset, name);
}

void refuse_file(std::span<const std::uint8_t> file) {
  struct Magic {
    std::size_t at;
    std::string_view bytes;
    const char* name;
  };
  static constexpr std::array<Magic, 13> magics = {{
      {0, "\x89PNG", "a PNG file"},
      {0, "GIF8", "a GIF file"},
      {0, "BM", "a BMP file"},
      {0, std::string_view("II*\0", 4), "a TIFF file"},
      {0, std::string_view("MM\0*", 4), "a TIFF file"},
      {8, "WEBP", "a WebP file"},
      {0, std::string_view("\0\0\0\x0cjP  ", 8), "a JPEG 2000 file"},
      {0, std::string_view("\xff\x4f\xff\x51", 4), "a JPEG 2000 codestream"},
      {0, std::string_view("\0\0\0\x0cJXL ", 8), "a JPEG XL file"},
      {0, "\xff\x0a", "a JPEG XL codestream"},
      {4, "ftypavif", "an AVIF file"},
      {4, "ftyphei", "a HEIC file"},
      {0, "%PDF", "a PDF file"},
  }};
  if (file.empty()) throw JpegFault(Fault::truncated, 0, "the file is empty", hint::damaged);
  for (const Magic& magic : magics) {
    if (file.size() > magic.at && begins_with(file.subspan(magic.at), magic.bytes)) {
      throw JpegFault(Fault::malformed, 0, std::string("this is ") + magic.name + ", not a JPEG",
                      "Read it with read_image, which takes every format that Pillow opens");
    }
  }
  if (file.size() == 1 && file[0] == 0xFF)
    throw JpegFault(Fault::truncated, 1, "the file ends inside SOI", hint::damaged);
  throw JpegFault(Fault::malformed, 0, "not a JPEG: it does not begin with SOI (0xFF 0xD8)",
                  "Check that this is the file you meant");
}

Color color_of(const FrameHeader& frame, const Application& application) {
  switch (frame.components.size()) {
    case 1: return Color::gray;
    case 2: return Color::unknown;
    case 3:
      if (application.jfif) return Color::ycbcr;
      if (application.adobe_transform) return *application.adobe_transform == 0 ? Color::rgb : Color::ycbcr;
      return has_identifiers(frame, {'R', 'G', 'B'}) ? Color::rgb : Color::ycbcr;
    default: return application.adobe_transform.value_or(0) == 0 ? Color::cmyk : Color::ycck;
  }
}

}  // namespace prepixel
