#include "jpeg/decoder.hpp"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>

#include "jpeg/scan_decoder.hpp"

namespace prepixel {

namespace {

const std::string cut_short = "Fetch the file again, or read what is there with on_truncated=\"keep\"";
const std::string damaged = "The file is damaged; fetch it again or leave it out";

const std::string unrefined = "the progressive file ends without EOI before its last bits are coded";

const std::string complete = "The image itself is complete; read it with on_truncated=\"keep\", which loses nothing";

class FileReader {
 public:
  FileReader(std::span<const std::uint8_t> file, const DecodeOptions& options)
      : file_(file), options_(options), markers_(file) {}
  FileReader(std::span<const std::uint8_t> file, const ParsedHeader& header, const DecodeOptions& options)
      : file_(file),
        options_(options),
        markers_(file),
        frame_(header.frame),
        scan_(header.scan),
        tables_(header.tables),
        application_(header.application),
        image_(header.image) {
    if (file.size() != header.file_bytes) throw std::logic_error("a header was parsed of a file of another size");
    markers_.move_to(header.scan_data);
  }
  ~FileReader() {  // a returned image was moved from: it has no components
    if (!has_pool()) return;
    for (Component& component : image_.components) options_.planes->release(std::move(component.blocks));
  }
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;

  ParsedHeader header() {
    parse_header();
    return {std::move(image_), *frame_, scan_, tables_, application_, markers_.offset(), file_.size()};
  }

  Image image() {
    if (!frame_) parse_header();
    make_components();
    make_planes();
    read_scans();
    scans_->zero_unwanted();
    count_missing();
    return std::move(image_);
  }

  NotedFile note_checkpoints(int every) {
    parse_header();
    make_components();
    scans_ = std::make_unique<ScanDecoder>(image_, file_, ScanDecoder::Options{});
    NotedFile noted{.header = image_, .scans = {}};
    do {
      count_visits();
      noted.scans.push_back(scans_->note_checkpoints(scan_, tables_, markers_.offset(), every));
      markers_.move_to(noted.scans.back().data_end);
    } while (next_scan());
    check_complete();
    return noted;
  }

 private:
  void read_scans() {
    bool is_whole = false;
    try {
      do {
        is_whole = false;
        decode_scan();
        is_whole = is_complete();
      } while (is_whole && options_.keep_truncated ? pass_trailer() : next_scan());
      if (!options_.keep_truncated) check_complete();
    } catch (JpegFault& fault) {
      if (!options_.keep_truncated && is_whole && !saw_end_) fault.hint = complete;
      if (!options_.keep_truncated || fault.kind == Fault::limit) throw;
      if (!damage_) damage_ = fault;
      warn(image_, "byte " + std::to_string(fault.byte_offset) + ": " + fault.what());
    }
  }

  // The image is complete, so nothing after it may fail: look for EOI among well-formed segments, and read no more
  // scans.
  bool pass_trailer() {
    const std::size_t begin = markers_.offset();
    try {
      while (const std::optional<Marker> mark = next_marker()) {
        saw_end_ = mark->code == marker::eoi;
        if (saw_end_) return false;
        if (mark->code == marker::tem || marker::is_restart(mark->code)) continue;
        if (mark->code == marker::soi || mark->code == marker::sos) break;
        markers_.segment(*mark, cut_short);
      }
    } catch (const JpegFault&) {  // not a segment of this image
    }
    if (begin != file_.size())
      warn(image_, "byte " + std::to_string(begin) + ": " + counted(file_.size() - begin, "byte") +
                       " behind the complete image are not read");
    return false;
  }

  void parse_header() {
    if (file_.size() < 2 || file_[0] != 0xFF || file_[1] != marker::soi) refuse_file(file_);
    markers_.move_to(2);
    if (!next_scan()) throw no_scan();
    settle_frame();
  }

  // Read segments up to and including a scan header; return false at EOI or at the end of the file.
  bool next_scan() {
    for (;;) {
      const std::optional<Marker> mark = next_marker();
      if (!mark) return false;
      if (mark->code == marker::eoi) {
        saw_end_ = true;
        return false;
      }
      if (mark->code == marker::tem || marker::is_restart(mark->code)) continue;
      if (mark->code == marker::soi)
        throw JpegFault(Fault::malformed, mark->offset, "a second SOI inside the image", damaged);
      const Segment segment = read_segment(*mark);
      if (mark->code == marker::sos) {
        if (!frame_) throw JpegFault(Fault::malformed, mark->offset, "SOS before any frame header", damaged);
        scan_ = read_scan(segment, *frame_);
        ++image_.num_scans;
        if (image_.num_scans > options_.limits.max_scans) {
          throw JpegFault(Fault::limit, mark->offset,
                          "more than " + std::to_string(options_.limits.max_scans) + " scans",
                          "Raise Limits.max_scans if you trust the file");
        }
        return true;
      }
      take(segment);
    }
  }

  // Bytes outside any segment are a warning, as in libjpeg.
  std::optional<Marker> next_marker() {
    const std::optional<Marker> mark = markers_.next();
    if (mark && mark->offset != mark->stray_begin) {
      warn(image_, "byte " + std::to_string(mark->stray_begin) + ": " +
                       counted(mark->offset - mark->stray_begin, "byte") + " before " + marker::name(mark->code) +
                       " outside any segment");
    }
    return mark;
  }

  Segment read_segment(const Marker& mark) {
    if (mark.code < marker::sof0) {
      throw JpegFault(Fault::malformed, mark.offset, "reserved " + marker::name(mark.code), damaged);
    }
    return markers_.segment(mark, image_.num_scans == 0 ? damaged : cut_short);
  }

  void take(const Segment& segment) {
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
        if (frame_) throw JpegFault(Fault::malformed, segment.marker_offset, "a second frame header", damaged);
        frame_ = read_frame(segment);
        return;
      default: break;
    }
    if (segment.code < marker::app0 || segment.code > marker::app15) refuse_frame(segment);
    read_application(segment, application_);  // no effect after the first scan header: the color is known
  }

  // B.2.5: DNL after the first scan defines the number of lines if the frame header does not.
  void check_number_of_lines(const Segment& segment) {
    if (segment.contents.size() != 2) return;  // unknown meaning; libjpeg skips it, too
    const int lines = read_number_of_lines(segment);
    if (frame_ && image_.num_scans > 0 && lines != image_.height) {
      warn(image_, "byte " + std::to_string(segment.marker_offset) + ": DNL says " + std::to_string(lines) +
                       " lines, the frame header " + std::to_string(image_.height) + "; the header holds");
    }
  }

  int find_number_of_lines() {
    const std::size_t scan_data = markers_.offset();
    std::optional<Marker> mark = markers_.next();
    while (mark && marker::is_restart(mark->code)) mark = markers_.next();
    if (!mark) {
      throw JpegFault(Fault::truncated, file_.size(),
                      "the frame header leaves the height to DNL, and the file ends before it", damaged);
    }
    int lines = 0;
    if (mark->code == marker::dnl) lines = read_number_of_lines(read_segment(*mark));
    if (lines == 0)
      throw JpegFault(Fault::malformed, mark->offset, "frame of height 0, and no DNL that says it", damaged);
    markers_.move_to(scan_data);
    return lines;
  }

  // Fill in the header fields; the first scan header has been read.
  void settle_frame() {
    const FrameHeader& frame = *frame_;
    image_.width = frame.width;
    image_.height = frame.height != 0 ? frame.height : find_number_of_lines();
    image_.process = frame.process;
    image_.precision = frame.precision;
    image_.color = color_of(frame, application_);
    image_.orientation = application_.orientation.value();
    image_.restart_interval = tables_.restart_interval;
    const auto pixels = static_cast<std::uint64_t>(image_.width) * static_cast<std::uint64_t>(image_.height);
    if (pixels > options_.limits.max_pixels) {
      throw JpegFault(Fault::limit, frame.offset,
                      "image of " + std::to_string(image_.height) + " x " + std::to_string(image_.width) +
                          " pixels, more than " + std::to_string(options_.limits.max_pixels),
                      "Raise Limits.max_pixels if you trust the file");
    }
  }

  void make_components() {
    const FrameGeometry geometry(image_.height, image_.width, frame_->components);
    std::uint64_t num_blocks = 0;
    for (const FrameComponent& part : frame_->components) {
      Component component;
      static_cast<PlaneSize&>(component) = geometry.plane(part.sampling_v, part.sampling_h);
      component.identifier = part.identifier;
      component.sampling_h = part.sampling_h;
      component.sampling_v = part.sampling_v;
      component.table_id = part.table_id;
      component.quantization.fill(1);
      num_blocks += component.num_blocks();
      image_.components.push_back(std::move(component));
    }
    plane_bytes_ = check_size(num_blocks);
  }

  void make_planes() {
    if (options_.reserve) options_.reserve(plane_bytes_);
    ScanDecoder::Options options{
        .keep = options_.keep_truncated, .may_stop = false, .used = {}, .wanted = select()};
    options.may_stop = options_.regions && !options_.keep_truncated &&
                       (options_.checkpoints != nullptr || ends_with_end_marker());
    for (Component& component : image_.components) options.used.push_back(take_plane(component));
    scans_ = std::make_unique<ScanDecoder>(image_, file_, std::move(options));
  }

  std::vector<Selection> select() const {
    std::vector<Selection> wanted(image_.components.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) wanted[i].kept = kept_of(i, image_.color, options_.kept);
    if (!options_.regions) return wanted;
    const std::vector<BlockRegion> regions = options_.regions(image_);
    for (std::size_t i = 0; i < std::min(wanted.size(), regions.size()); ++i) wanted[i].region = regions[i];
    return wanted;
  }

  bool ends_with_end_marker() const {
    return file_[file_.size() - 2] == 0xFF && file_[file_.size() - 1] == marker::eoi;
  }

  // Allocate the plane of a component. Return whether it holds old values instead of zeros.
  bool take_plane(Component& component) {
    const auto count = static_cast<std::size_t>(component.num_blocks());
    if (!has_pool()) {
      component.blocks = Blocks(count);
      return false;
    }
    PlanePool::Plane plane = options_.planes->acquire(count);
    component.blocks = std::move(plane.blocks);
    return plane.used;
  }

  // Missing blocks of truncated files must be zero.
  bool has_pool() const { return options_.planes != nullptr && !options_.keep_truncated; }

  // Return the bytes of the planes.
  std::uint64_t check_size(std::uint64_t num_blocks) const {
    const bool has_masks = image_.process == Process::progressive;
    const std::uint64_t plane_bytes = num_blocks * (sizeof(Block) + (has_masks ? sizeof(std::uint64_t) : 0));
    check_memory("coefficients", plane_bytes, options_.limits, frame_->offset);
    const std::uint64_t least_bits = image_.process == Process::progressive ? 1 : 2;
    if (!options_.keep_truncated && num_blocks * least_bits > markers_.bytes_left() * std::uint64_t{8}) {
      throw JpegFault(Fault::truncated, file_.size(),
                      "an image of " + std::to_string(num_blocks) + " blocks cannot be in the " +
                          std::to_string(markers_.bytes_left()) + " bytes that follow its header",
                      cut_short);
    }
    return plane_bytes;
  }

  void count_visits() {
    visits_ += scans_->count_visits(scan_);
    if (visits_ > options_.limits.max_pixels) {
      throw JpegFault(Fault::limit, scan_.offset,
                      "the scans up to this one visit " + std::to_string(visits_) + " blocks, more than " +
                          std::to_string(options_.limits.max_pixels) + ": far more work than the image is worth",
                      "Raise Limits.max_pixels if you trust the file");
    }
  }

  void decode_scan() {
    count_visits();
    const std::size_t begin = markers_.offset();
    if (options_.checkpoints != nullptr) {
      const auto number = static_cast<std::size_t>(image_.num_scans) - 1;
      if (number >= options_.checkpoints->size())
        throw JpegFault(Fault::damaged, scan_.offset, "the index lacks this scan", damaged);
      markers_.move_to(
          scans_->decode_between(scan_, tables_, begin, (*options_.checkpoints)[number], options_.num_threads));
    } else if (options_.num_threads > 1 && tables_.restart_interval != 0 && image_.process != Process::progressive) {
      markers_.move_to(scans_->decode_intervals(scan_, tables_, begin, options_.num_threads));
    } else {
      markers_.move_to(scans_->decode(scan_, tables_, begin));
    }
  }

  // Without EOI, a progressive file that lost its last scans looks like a complete one that lacks EOI only.
  bool refined_to_the_end() const {
    return image_.process != Process::progressive ||
           std::ranges::all_of(scans_->progress(), [](const Progress& progress) {
             return std::ranges::all_of(progress.low_bits, [](std::int8_t low) { return low == 0; });
           });
  }

  // Whether no further scan is needed.
  bool is_complete() const {
    return !scans_->first_damage() && refined_to_the_end() &&
           std::ranges::all_of(scans_->progress(), [](const Progress& progress) { return progress.scanned; });
  }

  void check_complete() {
    const auto& progress = scans_->progress();
    for (std::size_t i = 0; i < progress.size(); ++i) {
      if (progress[i].scanned) continue;
      throw JpegFault(
          Fault::truncated, saw_end_ ? markers_.offset() - 2 : file_.size(),
          std::string(saw_end_ ? "EOI stands" : "the file ends") + " before any scan of component " + std::to_string(i),
          cut_short);
    }
    if (saw_end_) return;
    if (!refined_to_the_end()) {
      throw JpegFault(Fault::truncated, file_.size(), unrefined, cut_short);
    }
    warn_of_missing_end();
  }

  void warn_of_missing_end() { warn(image_, "byte " + std::to_string(file_.size()) + ": EOI is missing"); }

  void count_missing() {
    std::uint64_t decoded = 0;
    for (std::size_t i = 0; i < image_.components.size(); ++i) {
      const std::uint64_t here = scans_->progress()[i].decoded_blocks;
      decoded += here;
      if (options_.keep_truncated) image_.missing_blocks += image_.components[i].blocks.size() - here;
    }
    if (decoded == 0) {
      if (scans_->first_damage()) throw JpegFault(*scans_->first_damage());
      if (damage_) throw JpegFault(*damage_);
      throw JpegFault(Fault::truncated, file_.size(), "no block is left of the image", damaged);
    }
    if (!options_.keep_truncated) return;
    if (!saw_end_ && !refined_to_the_end()) {
      warn(image_, "byte " + std::to_string(file_.size()) + ": " + unrefined);
    } else if (!saw_end_ && !damage_ && !scans_->first_damage()) {
      warn_of_missing_end();
    }
    if (image_.missing_blocks != 0) warn(image_, counted(image_.missing_blocks, "block") + " missing and left zero");
  }

  JpegFault no_scan() const {
    return {Fault::truncated, saw_end_ ? markers_.offset() - 2 : file_.size(),
            std::string(saw_end_ ? "EOI stands" : "the file ends") + " before the first scan", damaged};
  }

  std::span<const std::uint8_t> file_;
  DecodeOptions options_;
  MarkerReader markers_;
  bool saw_end_ = false;
  std::optional<FrameHeader> frame_;
  ScanHeader scan_;
  DecoderTables tables_;
  Application application_;
  Image image_;
  std::unique_ptr<ScanDecoder> scans_;
  std::uint64_t plane_bytes_ = 0;
  std::uint64_t visits_ = 0;
  std::optional<JpegFault> damage_;
};

}  // namespace

Header read_header(std::span<const std::uint8_t> file, const Limits& limits) {
  return parse_header(file, limits).image;
}

ParsedHeader parse_header(std::span<const std::uint8_t> file, const Limits& limits) {
  return FileReader(file, {.limits = limits}).header();
}

Image decode(std::span<const std::uint8_t> file, const DecodeOptions& options) {
  const bool has_checkpoints = options.checkpoints != nullptr;
  if (!has_checkpoints && options.num_threads <= 1) return FileReader(file, options).image();
  if (!options.keep_truncated) {
    try {
      return FileReader(file, options).image();
    } catch (const JpegFault&) {  // which is the file's own only if it shows again
    }
  }
  DecodeOptions plain = options;
  plain.checkpoints = nullptr;
  plain.num_threads = 1;
  Image image = FileReader(file, plain).image();
  image.checkpoints_refused = has_checkpoints && !options.keep_truncated;
  return image;
}

NotedFile note_checkpoints(std::span<const std::uint8_t> file, const Limits& limits, int every) {
  return FileReader(file, {.limits = limits}).note_checkpoints(every);
}

Image decode(std::span<const std::uint8_t> file, const ParsedHeader& header, const DecodeOptions& options) {
  return FileReader(file, header, options).image();
}

PooledImage::PooledImage(std::span<const std::uint8_t> file, DecodeOptions options) {
  options.planes = &pooled_image_planes();
  image_ = decode(file, options);
}

PooledImage::PooledImage(std::span<const std::uint8_t> file, const ParsedHeader& header, DecodeOptions options) {
  options.planes = &pooled_image_planes();
  image_ = decode(file, header, options);
}

PooledImage::~PooledImage() {
  for (Component& component : image_.components) pooled_image_planes().release(std::move(component.blocks));
}

}  // namespace prepixel
