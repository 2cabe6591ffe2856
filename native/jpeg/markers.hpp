// Marker segments as plain structs. Source: ITU-T T.81, Annex B; JFIF 1.02; Adobe TN 5116; CIPA DC-008 (Exif).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "jpeg/huffman.hpp"
#include "jpeg/orientation.hpp"
#include "jpeg/types.hpp"

namespace prepixel {

namespace marker {
constexpr std::uint8_t tem = 0x01, sof0 = 0xC0, sof1 = 0xC1, sof2 = 0xC2, sof3 = 0xC3, dht = 0xC4, sof15 = 0xCF,
                       jpg = 0xC8, dac = 0xCC, rst0 = 0xD0, rst7 = 0xD7, soi = 0xD8, eoi = 0xD9, sos = 0xDA, dqt = 0xDB,
                       dnl = 0xDC, dri = 0xDD, dhp = 0xDE, exp = 0xDF, app0 = 0xE0, app1 = 0xE1, app11 = 0xEB,
                       app14 = 0xEE, app15 = 0xEF, jpg0 = 0xF0, sof55 = 0xF7, lse = 0xF8, jpg13 = 0xFD, com = 0xFE;
constexpr bool is_restart(std::uint8_t code) { return code >= rst0 && code <= rst7; }
std::string name(std::uint8_t code);
}  // namespace marker

// The contents of one marker segment, without its length field, and their offset in the file.
struct Segment {
  std::span<const std::uint8_t> contents;
  std::size_t offset = 0;         // of the first byte of the contents
  std::size_t marker_offset = 0;  // of the marker's 0xFF
  std::uint8_t code = 0;
};

// A marker. `stray_begin` is the offset of bytes before it that belong to no segment; `offset` if there are none.
struct Marker {
  std::uint8_t code = 0;
  std::size_t offset = 0;  // of its 0xFF
  std::size_t stray_begin = 0;
};

// Walks from marker to marker outside entropy-coded segments (B.1.1).
class MarkerReader {
 public:
  explicit MarkerReader(std::span<const std::uint8_t> file) : file_(file) {}

  std::size_t offset() const { return at_; }
  void move_to(std::size_t offset) { at_ = offset; }
  std::size_t bytes_left() const { return file_.size() - at_; }

  // Read the next marker. Fill bytes may precede it (B.1.1.2); other bytes are skipped.
  std::optional<Marker> next();

  // Read the segment of the marker that next() returned. JpegFault: its length is below 2, or the file ends inside it
  // (then with `hint`).
  Segment segment(const Marker& mark, const std::string& hint);

 private:
  std::span<const std::uint8_t> file_;
  std::size_t at_ = 0;
};

struct FrameComponent {
  std::uint8_t identifier = 0;
  int sampling_h = 1;
  int sampling_v = 1;
  std::uint8_t table_id = 0;
};

struct FrameHeader {  // B.2.2
  Process process = Process::baseline;
  int precision = 8;
  int height = 0;
  int width = 0;
  std::vector<FrameComponent> components;
  std::size_t offset = 0;
};

struct ScanComponent {
  std::size_t index = 0;  // into the frame's components
  int dc_table = 0;
  int ac_table = 0;
};

struct ScanHeader {  // B.2.3
  std::vector<ScanComponent> components;
  int ss = 0;
  int se = 63;
  int ah = 0;
  int al = 0;
  std::size_t offset = 0;
};

using QuantizationTable = std::array<std::uint16_t, 64>;  // natural order

// "1 byte", "2 bytes".
std::string counted(std::uint64_t count, const char* noun);

// Add a warning to the image, up to a maximum number.
void warn(Image& image, const std::string& text);

// Tables and parameters that the segments before a scan have set; later segments may change them.
struct DecoderTables {
  std::array<std::optional<QuantizationTable>, 4> quantization;
  std::array<std::optional<HuffmanSpec>, 4> dc;
  std::array<std::optional<HuffmanSpec>, 4> ac;
  int restart_interval = 0;
};

struct Application {
  bool jfif = false;
  std::optional<int> adobe_transform;
  Orientation orientation;
};

void read_quantization(const Segment& segment, DecoderTables& tables);      // DQT
void read_huffman(const Segment& segment, DecoderTables& tables);           // DHT
void read_restart_interval(const Segment& segment, DecoderTables& tables);  // DRI
FrameHeader read_frame(const Segment& segment);                             // SOF0, SOF1, SOF2
ScanHeader read_scan(const Segment& segment, const FrameHeader& frame);     // SOS
int read_number_of_lines(const Segment& segment);                           // DNL
void read_application(const Segment& segment, Application& application);    // APPn; unknown ones are ignored

// What a segment begins with that holds a part of an index of its file (index/embedded_index.hpp). An index is of the bytes
// of this very file, so whoever writes another leaves these segments out.
constexpr std::array<std::uint8_t, 15> index_identifier = {'p', 'r', 'e', 'p', 'i', 'x', 'e', 'l',
                                                           '-', 'i', 'n', 'd', 'e', 'x', 0};
bool holds_index(const Segment& segment);

// Throw the fault that says why frames of this marker are not supported, and what to do.
[[noreturn]] void refuse_frame(const Segment& segment);

// Throw the fault for a file that does not begin with SOI; its first bytes may tell the format.
[[noreturn]] void refuse_file(std::span<const std::uint8_t> file);

// Return the color space, by the rules of libjpeg, which nearly every program follows.
Color color_of(const FrameHeader& frame, const Application& application);

}  // namespace prepixel
