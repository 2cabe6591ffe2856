#include "jpeg/decoder.hpp"

#include <algorithm>
#include <memory>
#include <string>

#include "jpeg/header_reader.hpp"
#include "jpeg/scan_decoder.hpp"

namespace prepixel {

namespace {

const std::string unrefined = "the progressive file ends without EOI before its last bits are coded";
const std::string complete = "The image itself is complete; read it with on_truncated=\"keep\", which loses nothing";

class FileReader {
 public:
  FileReader(std::span<const std::uint8_t> file, const DecodeOptions& options)
      : file_(file), options_(options), headers_(file, options_.limits, image_) {}
  FileReader(std::span<const std::uint8_t> file, const ParsedHeader& header, const DecodeOptions& options)
      : file_(file), options_(options), headers_(file, options_.limits, image_, header) {}
  ~FileReader() {  // a returned image was moved from: it has no components
    if (!has_pool()) return;
    for (Component& component : image_.components) options_.planes->release(std::move(component.blocks));
  }
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;

  ParsedHeader header() {
    headers_.read_header();
    return {std::move(image_), headers_.frame(),  headers_.scan(), headers_.tables(), headers_.application(),
            headers_.offset(), file_.size()};
  }

  Image image() {
    if (!headers_.has_header()) headers_.read_header();
    make_components();
    make_planes();
    read_scans();
    scans_->zero_unwanted();
    count_missing();
    return std::move(image_);
  }

  NotedFile note_checkpoints(int every) {
    headers_.read_header();
    make_components();
    check_size();
    scans_ = std::make_unique<ScanDecoder>(image_, file_, ScanDecoder::Options{});
    NotedFile noted{.header = image_, .scans = {}};
    do {
      count_visits();
      noted.scans.push_back(scans_->note_checkpoints(headers_.scan(), headers_.tables(), headers_.offset(), every));
      headers_.move_to(noted.scans.back().data_end);
    } while (headers_.next_scan());
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
        if (is_whole && options_.keep_truncated) {
          headers_.pass_trailer();
          break;
        }
      } while (headers_.next_scan());
      if (!options_.keep_truncated) check_complete();
    } catch (JpegFault& fault) {
      if (!options_.keep_truncated && is_whole && !headers_.saw_end()) fault.hint = complete;
      if (!options_.keep_truncated || fault.kind == Fault::limit) throw;
      if (!damage_) damage_ = fault;
      warn(image_, "byte " + std::to_string(fault.byte_offset) + ": " + fault.what());
    }
  }

  void make_components() {
    const FrameHeader& frame = headers_.frame();
    const FrameGeometry geometry(image_.height, image_.width, frame.components);
    for (const FrameComponent& part : frame.components) {
      Component component;
      static_cast<PlaneSize&>(component) = geometry.plane(part.sampling_v, part.sampling_h);
      component.identifier = part.identifier;
      component.sampling_h = part.sampling_h;
      component.sampling_v = part.sampling_v;
      component.table_id = part.table_id;
      component.quantization.fill(1);
      component.held = clipped({}, component);
      image_.components.push_back(std::move(component));
    }
  }

  void make_planes() {
    ScanDecoder::Options options{
        .keep = options_.keep_truncated, .may_stop = false, .used = {}, .wanted = select()};
    options.may_stop = options_.regions && !options_.keep_truncated &&
                       (options_.checkpoints != nullptr || ends_with_end_marker());
    options.rows = options_.rows;
    const bool by_rows = options_.rows != nullptr;
    const std::vector<int> rings = by_rows ? options_.rows->begin(image_) : std::vector<int>();
    // Progressive scans refine whole rows.
    const bool holds_regions = (options_.holds_regions || by_rows) && image_.process != Process::progressive;
    for (std::size_t i = 0; i < image_.components.size(); ++i) {
      Component& component = image_.components[i];
      if (holds_regions) component.held = clipped(options.wanted[i].region, component);
      if (!rings.empty()) component.ring_rows = std::min(rings[i], component.held.row_end - component.held.row_begin);
    }
    const std::uint64_t plane_bytes = check_size();
    if (options_.reserve) options_.reserve(plane_bytes);
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
    const auto count = static_cast<std::size_t>(component.held_blocks());
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
  std::uint64_t check_size() const {
    std::uint64_t num_blocks = 0, held_blocks = 0;
    for (const Component& component : image_.components) {
      num_blocks += component.num_blocks();
      held_blocks += component.held_blocks();
    }
    const bool has_masks = image_.process == Process::progressive;
    const std::uint64_t plane_bytes = held_blocks * (sizeof(Block) + (has_masks ? sizeof(std::uint64_t) : 0));
    check_memory("coefficients", plane_bytes, options_.limits, headers_.frame().offset);
    const std::uint64_t least_bits = image_.process == Process::progressive ? 1 : 2;
    if (!options_.keep_truncated && num_blocks * least_bits > headers_.bytes_left() * std::uint64_t{8}) {
      throw JpegFault(Fault::truncated, file_.size(),
                      "an image of " + std::to_string(num_blocks) + " blocks cannot be in the " +
                          std::to_string(headers_.bytes_left()) + " bytes that follow its header",
                      hint::cut_short);
    }
    return plane_bytes;
  }

  void count_visits() {
    visits_ += scans_->count_visits(headers_.scan());
    if (visits_ > options_.limits.max_pixels) {
      throw JpegFault(Fault::limit, headers_.scan().offset,
                      "the scans up to this one visit " + std::to_string(visits_) + " blocks, more than " +
                          std::to_string(options_.limits.max_pixels) + ": far more work than the image is worth",
                      "Raise Limits.max_pixels if you trust the file");
    }
  }

  void decode_scan() {
    count_visits();
    const ScanHeader& scan = headers_.scan();
    const DecoderTables& tables = headers_.tables();
    const std::size_t begin = headers_.offset();
    if (options_.checkpoints != nullptr) {
      const auto number = static_cast<std::size_t>(image_.num_scans) - 1;
      if (number >= options_.checkpoints->size())
        throw JpegFault(Fault::damaged, scan.offset, "the index lacks this scan", hint::damaged);
      headers_.move_to(
          scans_->decode_between(scan, tables, begin, (*options_.checkpoints)[number], options_.num_threads));
    } else if (options_.num_threads > 1 && tables.restart_interval != 0 && image_.process != Process::progressive) {
      headers_.move_to(scans_->decode_intervals(scan, tables, begin, options_.num_threads));
    } else {
      headers_.move_to(scans_->decode(scan, tables, begin));
    }
  }

  // Without EOI, a progressive file that lost its last scans looks like a complete one that lacks EOI only.
  bool refined_to_the_end() const {
    const auto is_refined = [](const Progress& progress) {
      return std::all_of(progress.low_bits.begin(), progress.low_bits.end(), [](std::int8_t low) { return low == 0; });
    };
    const auto& all = scans_->progress();
    return image_.process != Process::progressive || std::all_of(all.begin(), all.end(), is_refined);
  }

  // Whether no further scan is needed.
  bool is_complete() const {
    const auto& all = scans_->progress();
    return !scans_->first_damage() && refined_to_the_end() &&
           std::all_of(all.begin(), all.end(), [](const Progress& progress) { return progress.scanned; });
  }

  void check_complete() {
    const auto& progress = scans_->progress();
    for (std::size_t i = 0; i < progress.size(); ++i) {
      if (progress[i].scanned) continue;
      throw headers_.ends_before("any scan of component " + std::to_string(i), hint::cut_short);
    }
    if (headers_.saw_end()) return;
    if (!refined_to_the_end()) {
      throw JpegFault(Fault::truncated, file_.size(), unrefined, hint::cut_short);
    }
    warn_of_missing_end();
  }

  void warn_of_missing_end() { warn(image_, "byte " + std::to_string(file_.size()) + ": EOI is missing"); }

  void count_missing() {
    std::uint64_t decoded = 0;
    for (std::size_t i = 0; i < image_.components.size(); ++i) {
      const std::uint64_t here = scans_->progress()[i].decoded_blocks;
      decoded += here;
      if (options_.keep_truncated) image_.missing_blocks += image_.components[i].num_blocks() - here;
    }
    if (decoded == 0) {
      if (scans_->first_damage()) throw JpegFault(*scans_->first_damage());
      if (damage_) throw JpegFault(*damage_);
      throw JpegFault(Fault::truncated, file_.size(), "no block is left of the image", hint::damaged);
    }
    if (!options_.keep_truncated) return;
    if (!headers_.saw_end() && !refined_to_the_end()) {
      warn(image_, "byte " + std::to_string(file_.size()) + ": " + unrefined);
    } else if (!headers_.saw_end() && !damage_ && !scans_->first_damage()) {
      warn_of_missing_end();
    }
    if (image_.missing_blocks != 0) warn(image_, counted(image_.missing_blocks, "block") + " missing and left zero");
  }

  std::span<const std::uint8_t> file_;
  DecodeOptions options_;
  Image image_;
  HeaderReader headers_;
  std::unique_ptr<ScanDecoder> scans_;
  std::uint64_t visits_ = 0;
  std::optional<JpegFault> damage_;
};

// Decode by checkpoints and on threads, if so asked; where that fails, without them.
template <class Decode>
Image decode_or_again(const DecodeOptions& options, const Decode& decode_once) {
  const bool has_checkpoints = options.checkpoints != nullptr;
  if (!has_checkpoints && options.num_threads <= 1) return decode_once(options);
  if (!options.keep_truncated) {
    try {
      return decode_once(options);
    } catch (const JpegFault&) {  // which is the file's own only if it shows again
    }
  }
  DecodeOptions plain = options;
  plain.checkpoints = nullptr;
  plain.num_threads = 1;
  Image image = decode_once(plain);
  image.checkpoints_refused = has_checkpoints && !options.keep_truncated;
  return image;
}

}  // namespace

bool decodes_by_rows(const ParsedHeader& header) {
  return header.image.process != Process::progressive && header.scan.components.size() == header.frame.components.size();
}

Header read_header(std::span<const std::uint8_t> file, const Limits& limits) {
  return parse_header(file, limits).image;
}

ParsedHeader parse_header(std::span<const std::uint8_t> file, const Limits& limits) {
  return FileReader(file, {.limits = limits}).header();
}

Image decode(std::span<const std::uint8_t> file, const DecodeOptions& options) {
  return decode_or_again(options, [&](const DecodeOptions& how) { return FileReader(file, how).image(); });
}

NotedFile note_checkpoints(std::span<const std::uint8_t> file, const Limits& limits, int every) {
  return FileReader(file, {.limits = limits}).note_checkpoints(every);
}

Image decode(std::span<const std::uint8_t> file, const ParsedHeader& header, const DecodeOptions& options) {
  return decode_or_again(options, [&](const DecodeOptions& how) { return FileReader(file, header, how).image(); });
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
