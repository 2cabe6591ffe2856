#include "jpeg/encoder.hpp"

#include <algorithm>
#include <string>
#include <string_view>

#include "jpeg/markers.hpp"
#include "jpeg/encoder_symbols.hpp"

namespace prepixel {

namespace {

constexpr std::size_t most_contents = 65533;  // of a segment (B.1.1.4)
constexpr int most_blocks_in_mcu = 10;        // B.2.3

[[noreturn]] void refuse(const std::string& what, const std::string& hint) {
  throw JpegFault(Fault::malformed, no_offset, what, hint);
}

// The components of one scan, and the order of its blocks.
struct ScanPlan {
  std::vector<unsigned> components;
  int mcus_across = 0;
  int mcus_down = 0;
  int restart_interval = 0;
  std::size_t first_interval = 0;
  std::size_t num_intervals = 0;
};

class Encoder {
 public:
  Encoder(const EncoderInput& image, const Limits& limits)
      : image_(image), limits_(limits), geometry_(image.height, image.width, image.planes), tokens_(limits) {}

  Bytes file() {
    check_image();
    number_components();
    plan_scans();
    for (ScanPlan& scan : scans_) collect(scan);
    check_magnitudes();
    dc_ = share(HuffmanClass::dc);
    ac_ = share(HuffmanClass::ac);
    codes_ = token_codes(dc_, ac_, image_.planes.size());
    write_header();
    reserve_scans();
    for (const ScanPlan& scan : scans_) write_scan(scan);
    put_marker(marker::eoi);
    return std::move(out_);
  }

 private:
  // -- checks

  void check_image() const {
    const auto& planes = image_.planes;
    if (planes.empty() || planes.size() > 4) {
      refuse("an image of " + counted(planes.size(), "component"), "Give 1 to 4");
    }
    if (image_.height < 1 || image_.height > 65535 || image_.width < 1 || image_.width > 65535) {
      refuse("an image of " + std::to_string(image_.height) + " x " + std::to_string(image_.width) + " pixels",
             "Each side of a JPEG is 1 to 65535");
    }
    if (image_.orientation < 1 || image_.orientation > 8) {
      refuse("orientation " + std::to_string(image_.orientation), "EXIF knows 1 to 8");
    }
    for (std::size_t i = 0; i < planes.size(); ++i) {
      if (planes[i].sampling_v < 1 || planes[i].sampling_v > 4 || planes[i].sampling_h < 1 || planes[i].sampling_h > 4)
        refuse("sampling factors " + std::to_string(planes[i].sampling_v) + " (v) and " +
                   std::to_string(planes[i].sampling_h) + " (h) of component " + std::to_string(i),
               "Each is 1 to 4");
    }
    for (std::size_t i = 0; i < planes.size(); ++i) check_plane(i);
    for (const KeptSegment& segment : image_.segments) {
      if ((segment.code < marker::app0 || segment.code > marker::app15) && segment.code != marker::com)
        refuse("a kept segment is " + marker::name(segment.code), "Keep APP0 to APP15 and COM alone");
      if (segment.contents.size() > most_contents)
        refuse("a kept " + marker::name(segment.code) + " segment of " + counted(segment.contents.size(), "byte"),
               "65533 is the most");
    }
  }

  void check_plane(std::size_t index) const {
    const EncoderPlane& plane = image_.planes[index];
    const auto [height, width, down, across] = geometry_.plane(plane.sampling_v, plane.sampling_h);
    if (plane.blocks_down != down || plane.blocks_across != across || plane.quantized == nullptr) {
      refuse("component " + std::to_string(index) + " has " + std::to_string(plane.blocks_down) + " x " +
                 std::to_string(plane.blocks_across) + " blocks, but size and sampling ask for " +
                 std::to_string(down) + " x " + std::to_string(across) + " (A.1.1)",
             "Make plane, size and sampling agree");
    }
    if (std::count(plane.quantization.begin(), plane.quantization.end(), 0) != 0) {
      refuse("the quantization table of component " + std::to_string(index) + " holds a step of 0 (B.2.4.1)",
             "Steps are 1 to 65535");
    }
  }

  void check_magnitudes() const {
    constexpr std::uint32_t most = (1u << 15) - 1;  // Tables F.6 and F.7 end there
    if (tokens_.dc_magnitudes() > most || tokens_.ac_magnitudes() > most)
      refuse("a DC difference or an AC coefficient is beyond +-32767", "No JPEG of 8-bit samples holds such a one");
  }

  // -- layout

  // B.2.2: identifiers must be unique. Some files violate that; they are read by order.
  void number_components() {
    for (const EncoderPlane& plane : image_.planes) identifiers_.push_back(plane.identifier);
    std::vector<std::uint8_t> sorted = identifiers_;
    std::sort(sorted.begin(), sorted.end());
    if (std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end()) return;
    for (std::size_t i = 0; i < identifiers_.size(); ++i) identifiers_[i] = static_cast<std::uint8_t>(i + 1);
  }

  // A.2.2, A.2.3: a single component is scanned block by block, several MCU by MCU.
  void plan_scans() {
    int in_mcu = 0;
    for (const EncoderPlane& plane : image_.planes) in_mcu += plane.sampling_v * plane.sampling_h;
    const auto count = static_cast<unsigned>(image_.planes.size());
    if (count > 1 && in_mcu <= most_blocks_in_mcu) {
      ScanPlan& scan = scans_.emplace_back();
      for (unsigned i = 0; i < count; ++i) scan.components.push_back(i);
      scan.mcus_across = geometry_.mcus_across();
      scan.mcus_down = geometry_.mcus_down();
    } else {
      for (unsigned i = 0; i < count; ++i) {
        ScanPlan& scan = scans_.emplace_back();
        scan.components = {i};
        scan.mcus_across = image_.planes[i].blocks_across;
        scan.mcus_down = image_.planes[i].blocks_down;
      }
    }
    for (ScanPlan& scan : scans_) scan.restart_interval = interval_of(scan);
  }

  int interval_of(const ScanPlan& scan) const {
    if (image_.restart_interval < 0 || image_.restart_rows < 0)
      refuse("a negative restart interval", "Give how many MCUs, or rows of MCUs; 0 for no restart markers");
    if (image_.restart_interval != 0 && image_.restart_rows != 0)
      refuse("restart intervals both in MCUs and in rows", "Give one of them");
    const std::int64_t interval = image_.restart_rows == 0
                                      ? std::int64_t{image_.restart_interval}
                                      : std::int64_t{image_.restart_rows} * std::int64_t{scan.mcus_across};
    if (interval > 65535) {
      refuse("a restart interval of " + std::to_string(interval) + " MCUs", "65535 is the most (B.2.4.4)");
    }
    return static_cast<int>(interval);
  }

  // -- symbols

  struct Walk {
    unsigned component;
    const EncoderPlane* plane;
    std::uint64_t kept;
    int step_y, step_x;
    int dc_predictor = 0;
  };

  void collect(ScanPlan& scan) {
    std::vector<Walk> walks;
    for (const unsigned i : scan.components) {
      const EncoderPlane& plane = image_.planes[i];
      const bool interleaved = scan.components.size() > 1;
      walks.push_back({.component = i,
                       .plane = &plane,
                       .kept = zigzag_bits(plane.kept),
                       .step_y = interleaved ? plane.sampling_v : 1,
                       .step_x = interleaved ? plane.sampling_h : 1});
    }
    scan.first_interval = tokens_.num_intervals();
    int left = scan.restart_interval;
    for (int y = 0; y < scan.mcus_down; ++y) {
      for (int x = 0; x < scan.mcus_across; ++x) {
        if (scan.restart_interval != 0 && left-- == 0) {  // E.1.4: predictors are reset
          tokens_.end_interval();
          for (Walk& walk : walks) walk.dc_predictor = 0;
          left = scan.restart_interval - 1;
        }
        for (Walk& walk : walks) add_blocks(walk, y, x);
      }
    }
    tokens_.end_interval();
    scan.num_intervals = tokens_.num_intervals() - scan.first_interval;
  }

  // One component's blocks of one MCU (A.2.3); those outside its plane are padding (A.2.4).
  void add_blocks(Walk& walk, int mcu_y, int mcu_x) {
    const EncoderPlane& plane = *walk.plane;
    for (int y = mcu_y * walk.step_y; y < (mcu_y + 1) * walk.step_y; ++y) {
      for (int x = mcu_x * walk.step_x; x < (mcu_x + 1) * walk.step_x; ++x) {
        if (y >= plane.blocks_down || x >= plane.blocks_across) {
          tokens_.add_padding(walk.component);
          continue;
        }
        const std::size_t at = static_cast<std::size_t>(y) * static_cast<std::size_t>(plane.blocks_across) +
                               static_cast<std::size_t>(x);
        tokens_.add_block(walk.component, plane.quantized + 64 * at, walk.kept, walk.dc_predictor);
      }
    }
  }

  // -- tables

  SharedTables share(HuffmanClass table_class) const {
    std::vector<SymbolCounts> counts;
    for (unsigned i = 0; i < image_.planes.size(); ++i) counts.push_back(tokens_.counts(i, table_class));
    return share_tables(counts);
  }

  // -- segments

  void put(int byte) { out_.push_back(static_cast<std::uint8_t>(byte)); }
  void put16(int number) {
    put(number >> 8);
    put(number & 255);
  }
  void put_marker(std::uint8_t code) {
    put(0xFF);
    put(code);
  }
  void put_segment(std::uint8_t code, std::span<const std::uint8_t> contents) {
    put_marker(code);
    put16(static_cast<int>(contents.size() + 2));
    out_.insert(out_.end(), contents.begin(), contents.end());
  }
  static std::span<const std::uint8_t> bytes_of(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
  }

  void write_header() {
    put_marker(marker::soi);
    write_application();
    const std::vector<int> table_ids = write_quantization();
    const bool extended = tokens_.dc_magnitudes() > 2047 || tokens_.ac_magnitudes() > 1023 || wide_steps_;
    write_frame(extended ? marker::sof1 : marker::sof0, table_ids);
    for (std::size_t i = 0; i < dc_.tables.size(); ++i) write_huffman(0, i, dc_.tables[i]);
    for (std::size_t i = 0; i < ac_.tables.size(); ++i) write_huffman(1, i, ac_.tables[i]);
  }

  // The segments that define color and orientation.
  void write_application() {
    FrameHeader frame;
    for (const std::uint8_t identifier : identifiers_) frame.components.push_back({.identifier = identifier});
    Application said;
    for (const KeptSegment& kept : image_.segments) {
      read_application({.contents = kept.contents, .code = kept.code}, said);
    }
    const Color color = image_.color;
    const bool plain = color == Color::gray || color == Color::ycbcr;
    if (!said.jfif && !said.adobe_transform) {
      if (plain) {  // JFIF 1.02, no unit, square pixels, no thumbnail
        put_segment(marker::app0, bytes_of(std::string_view("JFIF\0\1\2\0\0\1\0\1\0\0", 14)));
        said.jfif = true;
      } else if (color_of(frame, said) != color) {
        const bool ycck = color == Color::ycck;
        put_segment(marker::app14, bytes_of(ycck ? std::string_view("Adobe\0\x64\0\0\0\0\2", 12)
                                                 : std::string_view("Adobe\0\x64\0\0\0\0\0", 12)));
        said.adobe_transform = ycck ? 2 : 0;
      }
    }
    // An Exif segment before the kept ones overrides their XMP.
    const bool turned = image_.orientation != said.orientation.value() && !said.orientation.exif;
    std::size_t next = 0;  // JFIF's segments come first
    for (; next < image_.segments.size() && image_.segments[next].code == marker::app0; ++next) {
      put_segment(marker::app0, image_.segments[next].contents);
    }
    if (turned) write_orientation();
    for (; next < image_.segments.size(); ++next) {
      put_segment(image_.segments[next].code, image_.segments[next].contents);
    }
    if (color_of(frame, said) != color) {
      refuse("the kept segments, or the number of components, say another color than the image",
             "Leave JFIF's and Adobe's segments out, or make the color agree");
    }
    if (!turned && said.orientation.value() != image_.orientation) {
      refuse("the kept Exif segment says orientation " + std::to_string(said.orientation.value()) + ", the image " +
                 std::to_string(image_.orientation),
             "Leave the segment out, or make the orientation agree");
    }
  }

  // CIPA DC-008: a TIFF structure of one directory with one entry, tag 0x0112, one SHORT.
  void write_orientation() {
    std::array<std::uint8_t, 32> exif = {'E', 'x', 'i', 'f', 0, 0, 'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1,
                                         0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0};
    exif[25] = static_cast<std::uint8_t>(image_.orientation);
    put_segment(marker::app1, exif);
  }

  // B.2.4.1: equal tables are written once. Return each component's table id.
  std::vector<int> write_quantization() {
    std::vector<QuantizationTable> tables;
    std::vector<int> ids;
    for (const EncoderPlane& plane : image_.planes) {
      const auto at = std::find(tables.begin(), tables.end(), plane.quantization) - tables.begin();
      ids.push_back(static_cast<int>(at));
      if (at != std::ssize(tables)) continue;
      tables.push_back(plane.quantization);
      const bool wide = *std::max_element(plane.quantization.begin(), plane.quantization.end()) > 255;
      wide_steps_ = wide_steps_ || wide;
      put_marker(marker::dqt);
      put16(wide ? 131 : 67);
      put((wide ? 0x10 : 0) | static_cast<int>(at));
      for (const std::uint8_t natural : zigzag_to_natural) {
        if (wide) put16(plane.quantization[natural]);
        else put(plane.quantization[natural]);
      }
    }
    return ids;
  }

  void write_frame(std::uint8_t code, const std::vector<int>& table_ids) {  // B.2.2
    put_marker(code);
    put16(static_cast<int>(8 + 3 * image_.planes.size()));
    put(8);
    put16(image_.height);
    put16(image_.width);
    put(static_cast<int>(image_.planes.size()));
    for (std::size_t i = 0; i < image_.planes.size(); ++i) {
      put(identifiers_[i]);
      put(image_.planes[i].sampling_h << 4 | image_.planes[i].sampling_v);
      put(table_ids[i]);
    }
  }

  void write_huffman(int table_class, std::size_t id, const HuffmanSpec& table) {  // B.2.4.2
    int num_symbols = 0;
    for (const int count : table.counts) num_symbols += count;
    put_marker(marker::dht);
    put16(19 + num_symbols);
    put(table_class << 4 | static_cast<int>(id));
    out_.insert(out_.end(), table.counts.begin() + 1, table.counts.end());
    out_.insert(out_.end(), table.symbols.begin(), table.symbols.begin() + num_symbols);
  }

  void reserve_scans() {
    const std::uint64_t coded = tokens_.most_coded_bytes(codes_);
    check_memory("the symbols to encode and the file", tokens_.bytes() + out_.size() + coded, limits_);
    out_.reserve(out_.size() + static_cast<std::size_t>(coded));
  }

  void write_scan(const ScanPlan& scan) {
    if (scan.restart_interval != interval_in_force_) {  // B.2.4.4
      put_marker(marker::dri);
      put16(4);
      put16(scan.restart_interval);
      interval_in_force_ = scan.restart_interval;
    }
    put_marker(marker::sos);  // B.2.3
    put16(static_cast<int>(6 + 2 * scan.components.size()));
    put(static_cast<int>(scan.components.size()));
    for (const unsigned i : scan.components) {
      put(identifiers_[i]);
      put(dc_.table_of[i] << 4 | ac_.table_of[i]);
    }
    put(0);
    put(63);
    put(0);
    write_entropy_coded(scan);
  }

  void write_entropy_coded(const ScanPlan& scan) {
    for (std::size_t i = 0; i < scan.num_intervals; ++i) {
      if (i != 0) put_marker(static_cast<std::uint8_t>(marker::rst0 + (i - 1) % 8));  // E.1.4
      append_segment(out_, tokens_.interval(scan.first_interval + i), codes_);
    }
  }

  const EncoderInput& image_;
  Limits limits_;
  FrameGeometry geometry_;
  std::vector<std::uint8_t> identifiers_;
  std::vector<ScanPlan> scans_;
  Tokens tokens_;
  SharedTables dc_;
  SharedTables ac_;
  TokenCodes codes_{};
  bool wide_steps_ = false;
  int interval_in_force_ = 0;
  Bytes out_;
};

}  // namespace

Bytes encode(const EncoderInput& image, const Limits& limits) { return Encoder(image, limits).file(); }

}  // namespace prepixel
