// Decode the bytes of a file to quantized coefficients. Input is hostile: every read is bounded.
//
// Without keep_truncated, anything that leaves a coefficient unknown, or contradicts T.81 in the entropy-coded data, is
// an error. As in libjpeg, these are warnings: bytes between segments, a missing EOI after a complete image, unread
// bytes at the end of an entropy-coded segment, progressive parameters in a sequential scan.
//
// With keep_truncated, damage inside a scan ends the current restart interval; decoding resumes at the next restart
// marker, whose number tells how many intervals were lost. Without restart markers the rest of the scan is lost. The
// block in which damage is detected is restored, so no coefficient is invented. A progressive scan that refines a band
// which an earlier damaged scan lost is skipped. A damaged segment after the first scan ends the file there. Damage in
// the headers is always an error, and so is a file without any decoded block.
//
// A block is missing if the scan that first codes it (progressive: its first DC scan) did not reach it.
//
// Hostile sizes: pixels and plane memory are checked before planes are allocated. Without keep_truncated a file too
// short for its blocks (two bits each in a sequential scan, one in a progressive DC scan) is refused first; with it,
// pages that no scan reaches are never touched. All scans together may visit max_pixels blocks: an image of max_pixels
// 4:4:4 pixels can still have some twenty scans of every component, and a bomb of empty scans ends within seconds.
//
// Frequencies that are not kept and blocks outside the regions are decoded and discarded, so damage in them is
// detected. Not read are scans without a kept frequency, rows after the regions and, in sequential scans, restart
// intervals before them; damage there goes unnoticed. Files that do not end with EOI (truncated ones) and
// keep_truncated read everything. With checkpoints, damage in MCUs outside the decoded
// runs goes unnoticed, too.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "jpeg/checkpoints.hpp"
#include "jpeg/frequency_mask.hpp"
#include "jpeg/markers.hpp"
#include "jpeg/plane_pool.hpp"
#include "jpeg/row_consumer.hpp"
#include "jpeg/types.hpp"

namespace prepixel {

struct DecodeOptions {
  Limits limits;
  bool keep_truncated = false;  // true: missing blocks are zero and counted; false: JpegFault
  FrequencyMask kept = all_masks;         // other frequencies are zero
  // Return the wanted blocks of each component, given the frame without its planes. Other blocks are undefined.
  std::function<std::vector<BlockRegion>(const Image&)> regions = {};
  // Hold the wanted blocks of sequential files alone in memory; see Component::held.
  bool holds_regions = false;
  // Called with the bytes of the planes, which the limits allow, before they are made.
  std::function<void(std::uint64_t)> reserve = {};
  // Checkpoints of this file; not used with keep_truncated. If a run of MCUs between two of them does not end as the second
  // says, the file is decoded without them, with a warning. Null: none.
  const FileCheckpoints* checkpoints = nullptr;
  // Threads that share the runs of a sequential scan between checkpoints or restart markers, if there are any.
  int num_threads = 1;
  // Takes the rows of a file for which decodes_by_rows() holds; not with keep_truncated, nor on several threads. It gets
  // regions alone. Null: planes are kept.
  RowConsumer* rows = nullptr;
  // Pool that planes are acquired from, and released to if decoding fails; not with keep_truncated. Null: new memory.
  PlanePool* planes = nullptr;
};

// Read markers up to the first scan. Entropy-coded data are not read, unless the height is in a DNL segment.
Header read_header(std::span<const std::uint8_t> file, const Limits& limits);

// What a file says in front of its first entropy-coded byte. Holds none of the file's bytes.
struct ParsedHeader {
  Image image;                            // without components
  FrameHeader frame;
  ScanHeader scan;                        // the first
  DecoderTables tables;
  Application application;
  std::size_t scan_data = 0;              // where the first scan's entropy-coded data begin
  std::size_t file_bytes = 0;
};

// As read_header, and all that decode() needs to go on from there.
ParsedHeader parse_header(std::span<const std::uint8_t> file, const Limits& limits);

// Whether the first scan holds all components and each of its blocks is complete: what a RowConsumer needs.
bool decodes_by_rows(const ParsedHeader& header);

// Decode every scan of a baseline, extended or progressive Huffman file with 8 bits per sample.
Image decode(std::span<const std::uint8_t> file, const DecodeOptions& options);

// The same behind a header that was parsed before, with the same limits. std::logic_error: of a file of another size.
Image decode(std::span<const std::uint8_t> file, const ParsedHeader& header, const DecodeOptions& options);

// Read all scans of a file and note checkpoints: at the start of each row of MCUs and, if `every` is not 0, every `every`
// MCUs within rows; of progressive files the offsets of the scans. JpegFault: as decode().
struct NotedFile {
  Header header;
  FileCheckpoints scans;
};
NotedFile note_checkpoints(std::span<const std::uint8_t> file, const Limits& limits, int every);

// A decoded image with planes from the pool, for use within one call.
class PooledImage {
 public:
  PooledImage(std::span<const std::uint8_t> file, DecodeOptions options);  // `options.planes` is ignored
  PooledImage(std::span<const std::uint8_t> file, const ParsedHeader& header, DecodeOptions options);
  ~PooledImage();
  PooledImage(const PooledImage&) = delete;
  PooledImage& operator=(const PooledImage&) = delete;

  const Image& operator*() const { return image_; }
  const Image* operator->() const { return &image_; }

 private:
  Image image_;
};

}  // namespace prepixel
