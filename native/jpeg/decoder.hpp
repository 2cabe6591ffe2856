// From a file's bytes to its quantized coefficients. Input is hostile: every read is bounded.
//
// What ends a file's decoding, without keep_truncated: anything that leaves a coefficient unknown or contradicts T.81 in
// the entropy-coded data. What is only a warning, as in libjpeg: bytes between segments, EOI missing behind a complete
// image, bytes left over at the end of an entropy-coded segment, progressive parameters of a sequential scan.
//
// With keep_truncated, damage inside a scan ends the current restart interval; decoding resumes at the next restart
// marker, whose number tells how many intervals were lost. Without restart markers the rest of the scan is lost. The block
// at which damage showed is put back as it was, so no coefficient is made up from bits that were not there. A
// progressive scan that refines a band which an earlier damaged scan left unknown is left out. A damaged segment after the
// first scan ends the file there. Damage in the headers is always a fault, and so is a file of which no block is left.
//
// Blocks count as missing when the scan that first codes them (progressive: their first DC scan) did not reach them.
//
// Hostile sizes: pixels and plane memory are checked before planes are made. Without keep_truncated a file too short to
// hold its blocks (two bits each in a sequential scan, one in a progressive DC scan) is refused before that, too; with it,
// pages that no scan reaches are never touched. All scans together may visit max_pixels blocks: an image of max_pixels
// 4:4:4 pixels can still have some twenty scans over every component, and a bomb of empty scans ends within seconds.
//
// Frequencies that are not kept and blocks outside the regions are passed over: faults of the code show there, too.
// Scans without a kept frequency are left out. Rows behind the regions are not looked at, nor, in sequential scans,
// restart intervals that end before them, so damage in these does not show, but for files that do not end with EOI, as
// files cut short do not, and with keep_truncated. With checkpoints the same holds of all MCUs outside the runs decoded.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "jpeg/checkpoints.hpp"
#include "jpeg/frequency_mask.hpp"
#include "jpeg/markers.hpp"
#include "jpeg/plane_pool.hpp"
#include "jpeg/types.hpp"

namespace prepixel {

struct DecodeOptions {
  Limits limits;
  bool keep_truncated = false;  // true: what is there, the rest zero and counted; false: JpegFault
  FrequencyMask kept = all_masks;         // other frequencies are passed over and zero
  // Given the frame, its planes without blocks: the blocks wanted of each component. Others are undefined.
  std::function<std::vector<BlockRegion>(const Image&)> regions = {};
  // Of this very file; with keep_truncated they are not used. Where a run of MCUs between two of them does not end as the
  // second says, the file is decoded without them, and the image says so. Null: none.
  const FileCheckpoints* checkpoints = nullptr;
  // That share the runs of a sequential scan between checkpoints or restart markers, where there are any.
  int num_threads = 1;
  // Where planes come from, and go back to where decoding fails; not with keep_truncated. Null: memory of their own.
  PlanePool* planes = nullptr;
};

// Read markers up to the first scan. Cheap: no entropy-coded byte is looked at, unless the height is left to DNL.
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

// Decode every scan of a baseline, extended or progressive Huffman file of 8 bits a sample.
Image decode(std::span<const std::uint8_t> file, const DecodeOptions& options);

// The same behind a header that was parsed before, with the same limits. std::logic_error: of a file of another size.
Image decode(std::span<const std::uint8_t> file, const ParsedHeader& header, const DecodeOptions& options);

// Pass over all scans of a file and note checkpoints: at the start of each row of MCUs and, within rows, every `every`
// MCUs where that is not 0; of progressive files the places of the scans. JpegFault: as decode().
struct NotedFile {
  Header header;
  FileCheckpoints scans;
};
NotedFile note_checkpoints(std::span<const std::uint8_t> file, const Limits& limits, int every);

// A decoded image that lives within a call: its planes come from those that such images left, and go back to them.
class PooledImage {
 public:
  PooledImage(std::span<const std::uint8_t> file, DecodeOptions options);  // whose `planes` do not count
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
