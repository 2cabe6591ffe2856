#include "jpeg/header_reader.hpp"

#include <stdexcept>
#include <string>

namespace prepixel {

HeaderReader::HeaderReader(std::span<const std::uint8_t> file, const Limits& limits, Image& image,
                             const ParsedHeader& header)
    : file_(file),
      limits_(limits),
      image_(image),
      markers_(file),
      frame_(header.frame),
      scan_(header.scan),
      tables_(header.tables),
      application_(header.application) {
  if (file.size() != header.file_bytes) throw std::logic_error("a header was parsed of a file of another size");
  image_ = header.image;
  markers_.move_to(header.scan_data);
}

void HeaderReader::read_header() {
  if (file_.size() < 2 || file_[0] != 0xFF || file_[1] != marker::soi) refuse_file(file_);
  markers_.move_to(2);
  if (!next_scan()) throw ends_before("the first scan", hint::damaged);
  settle_header();
}

bool HeaderReader::next_scan() {
  for (;;) {
    const std::optional<Marker> mark = next_marker();
    if (!mark) return false;
    if (mark->code == marker::eoi) {
      saw_end_ = true;
      return false;
    }
    if (mark->code == marker::tem || marker::is_restart(mark->code)) continue;
    if (mark->code == marker::soi)
      throw JpegFault(Fault::malformed, mark->offset, "a second SOI inside the image", hint::damaged);
    const Segment segment = read_segment(*mark);
    if (mark->code == marker::sos) {
      if (!frame_) throw JpegFault(Fault::malformed, mark->offset, "SOS before any frame header", hint::damaged);
      scan_ = read_scan(segment, *frame_);
      ++image_.num_scans;
      if (image_.num_scans > limits_.max_scans) {
        throw JpegFault(Fault::limit, mark->offset, "more than " + std::to_string(limits_.max_scans) + " scans",
                        "Raise Limits.max_scans if you trust the file");
      }
      return true;
    }
    take(segment);
  }
}

void HeaderReader::pass_trailer() {
  const std::size_t begin = markers_.offset();
  try {
    while (const std::optional<Marker> mark = next_marker()) {
      saw_end_ = mark->code == marker::eoi;
      if (saw_end_) return;
      if (mark->code == marker::tem || marker::is_restart(mark->code)) continue;
      if (mark->code == marker::soi || mark->code == marker::sos) break;
      markers_.segment(*mark, hint::cut_short);
    }
  } catch (const JpegFault&) {  // not a segment of this image
  }
  if (begin != file_.size())
    warn(image_, "byte " + std::to_string(begin) + ": " + counted(file_.size() - begin, "byte") +
                     " behind the complete image are not read");
}

JpegFault HeaderReader::ends_before(const std::string& what, const std::string& what_to_do) const {
  return {Fault::truncated, saw_end_ ? markers_.offset() - 2 : file_.size(),
          std::string(saw_end_ ? "EOI stands" : "the file ends") + " before " + what, what_to_do};
}

// Bytes outside any segment are a warning, as in libjpeg.
std::optional<Marker> HeaderReader::next_marker() {
  const std::optional<Marker> mark = markers_.next();
  if (mark && mark->offset != mark->stray_begin) {
    warn(image_, "byte " + std::to_string(mark->stray_begin) + ": " +
                     counted(mark->offset - mark->stray_begin, "byte") + " before " + marker::name(mark->code) +
                     " outside any segment");
  }
  return mark;
}

Segment HeaderReader::read_segment(const Marker& mark) {
  if (mark.code < marker::sof0) {
    throw JpegFault(Fault::malformed, mark.offset, "reserved " + marker::name(mark.code), hint::damaged);
  }
  return markers_.segment(mark, image_.num_scans == 0 ? hint::damaged : hint::cut_short);
}

void HeaderReader::take(const Segment& segment) {
  switch (segment.code) {
    case marker::dqt: return read_quantization(segment, tables_);
    case marker::dht: return read_huffman(segment, tables_);
    case marker::dri: return read_restart_interval(segment, tables_);
    case marker::dnl: return check_number_of_lines(segment);
    case marker::dac:
    case marker::com: return;
    case marker::sof0:
    case marker::sof1:
    case marker::sof2:
      if (frame_) throw JpegFault(Fault::malformed, segment.marker_offset, "a second frame header", hint::damaged);
      frame_ = read_frame(segment);
      return;
    default: break;
  }
  if (segment.code < marker::app0 || segment.code > marker::app15) refuse_frame(segment);
  read_application(segment, application_);  // no effect after the first scan header: the color is known
}

// B.2.5: DNL after the first scan defines the number of lines if the frame header does not.
void HeaderReader::check_number_of_lines(const Segment& segment) {
  if (segment.contents.size() != 2) return;  // unknown meaning; libjpeg skips it, too
  const int lines = read_number_of_lines(segment);
  if (frame_ && image_.num_scans > 0 && lines != image_.height) {
    warn(image_, "byte " + std::to_string(segment.marker_offset) + ": DNL says " + std::to_string(lines) +
                     " lines, the frame header " + std::to_string(image_.height) + "; the header holds");
  }
}

int HeaderReader::find_number_of_lines() {
  const std::size_t scan_data = markers_.offset();
  std::optional<Marker> mark = markers_.next();
  while (mark && marker::is_restart(mark->code)) mark = markers_.next();
  if (!mark) {
    throw JpegFault(Fault::truncated, file_.size(),
                    "the frame header leaves the height to DNL, and the file ends before it", hint::damaged);
  }
  int lines = 0;
  if (mark->code == marker::dnl) lines = read_number_of_lines(read_segment(*mark));
  if (lines == 0)
    throw JpegFault(Fault::malformed, mark->offset, "frame of height 0, and no DNL that says it", hint::damaged);
  markers_.move_to(scan_data);
  return lines;
}

// Fill in the header's fields; the first scan header has been read.
void HeaderReader::settle_header() {
  const FrameHeader& frame = *frame_;
  image_.width = frame.width;
  image_.height = frame.height != 0 ? frame.height : find_number_of_lines();
  image_.process = frame.process;
  image_.precision = frame.precision;
  image_.color = color_of(frame, application_);
  image_.orientation = application_.orientation.value();
  image_.restart_interval = tables_.restart_interval;
  const auto pixels = static_cast<std::uint64_t>(image_.width) * static_cast<std::uint64_t>(image_.height);
  if (pixels > limits_.max_pixels) {
    throw JpegFault(Fault::limit, frame.offset,
                    "image of " + std::to_string(image_.height) + " x " + std::to_string(image_.width) +
                        " pixels, more than " + std::to_string(limits_.max_pixels),
                    "Raise Limits.max_pixels if you trust the file");
  }
}

}  // namespace prepixel
