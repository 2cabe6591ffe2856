// The segments of a file outside its entropy-coded data: what they say about the image, the tables and the next scan.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "jpeg/decoder.hpp"
#include "jpeg/markers.hpp"
#include "jpeg/types.hpp"

namespace prepixel {

class HeaderReader {
 public:
  // `image` receives the header's fields, the number of scans, and warnings.
  HeaderReader(std::span<const std::uint8_t> file, const Limits& limits, Image& image)
      : file_(file), limits_(limits), image_(image), markers_(file) {}

  // Go on behind a header that was parsed before. std::logic_error: of a file of another size.
  HeaderReader(std::span<const std::uint8_t> file, const Limits& limits, Image& image, const ParsedHeader& header);

  // Read up to the first scan header; fill in the header's fields of the image.
  void read_header();
  bool has_header() const { return frame_.has_value(); }

  // Read segments up to and including a scan header; return false at EOI or at the end of the file.
  bool next_scan();

  // The image is complete, so nothing after it may fail: look for EOI among well-formed segments, and read no more
  // scans.
  void pass_trailer();

  const FrameHeader& frame() const { return *frame_; }
  const ScanHeader& scan() const { return scan_; }
  const DecoderTables& tables() const { return tables_; }
  const Application& application() const { return application_; }

  std::size_t offset() const { return markers_.offset(); }
  std::size_t bytes_left() const { return markers_.bytes_left(); }
  void move_to(std::size_t offset) { markers_.move_to(offset); }  // behind the entropy-coded data of a scan

  bool saw_end() const { return saw_end_; }
  // The fault of a file that ends, or whose EOI stands, "before ..."; the hint is `what_to_do`.
  JpegFault ends_before(const std::string& what, const std::string& what_to_do) const;

 private:
  std::optional<Marker> next_marker();
  Segment read_segment(const Marker& mark);
  void take(const Segment& segment);
  void check_number_of_lines(const Segment& segment);
  int find_number_of_lines();
  void settle_header();

  std::span<const std::uint8_t> file_;
  Limits limits_;
  Image& image_;
  MarkerReader markers_;
  bool saw_end_ = false;
  std::optional<FrameHeader> frame_;
  ScanHeader scan_;
  DecoderTables tables_;
  Application application_;
};

}  // namespace prepixel
