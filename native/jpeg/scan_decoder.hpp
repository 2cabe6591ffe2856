// Decode the entropy-coded data of one scan into coefficient planes. Source: ITU-T T.81, Annexes A.2, E.2, F.2.2, G.2.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "jpeg/bit_reader.hpp"
#include "jpeg/checkpoints.hpp"
#include "jpeg/types.hpp"
#include "jpeg/huffman_lookup.hpp"
#include "jpeg/markers.hpp"
#include "jpeg/frequency_mask.hpp"

namespace prepixel {

class RowConsumer;
enum class BlockStatus : std::uint8_t;  // sequential_block.hpp
template <bool selected>
struct SequentialScan;

using NonzeroMasks = ZeroedArray<std::uint64_t>;

// State of one component after the scans so far.
struct Progress {
  bool table_latched = false;              // its quantization table is that of its first scan
  bool scanned = false;                    // sequential: scanned; progressive: its first DC scan was
  std::uint64_t decoded_blocks = 0;        // complete blocks of that scan
  std::array<std::int8_t, 64> low_bits{};  // progressive, by zigzag position: lowest decoded bit (Al); -1: none
  NonzeroMasks nonzero;                    // progressive: mask of the nonzero AC coefficients of each block
  std::uint64_t corrupt = 0;               // progressive: mask of the coefficients that a damaged scan lost
};

// Decodes the wanted coefficients of the scans of one frame. Frequencies that are not kept, and blocks outside the
// region of a sequential scan, are skipped, and so are scans without a kept frequency. With `may_stop`, rows after the
// region and restart intervals before it are not read. With `keep`, damage ends a restart interval with a warning;
// without it, it is thrown. decoder.hpp describes the policy.
//
// scan_decoder.cpp: the loop over MCUs; scan_setup.cpp: the interpretation of scan headers; scan_runs.cpp: runs of MCUs
// between checkpoints.
class ScanDecoder {
 public:
  struct Options {
    bool keep = false;
    bool may_stop = false;           // begin at the first wanted row and stop after the last
    std::vector<bool> used;          // of each component: its first scan zeroes its blocks; not with `keep`
    std::vector<Selection> wanted;   // of each component
    RowConsumer* rows = nullptr;
  };
  ScanDecoder(Image& image, std::span<const std::uint8_t> file, Options options);

  // Decode the scan whose data begin at `offset`. Return the offset of the marker that ends it.
  std::size_t decode(const ScanHeader& scan, const DecoderTables& tables, std::size_t offset);

  // Decode the scan by checkpoints, on threads: only MCUs between the checkpoints around the wanted ones; of progressive
  // files only scans that hold a kept frequency. JpegFault: a run of MCUs is damaged, or does not end as the next
  // checkpoint says; the planes are then undefined, and decoding without checkpoints finds the cause.
  std::size_t decode_between(const ScanHeader& scan, const DecoderTables& tables, std::size_t offset,
                             const ScanCheckpoints& known, int num_threads);

  // Read a scan and note checkpoints at the start of each row of MCUs and, if `every` is not 0, every `every` MCUs within
  // rows. Of progressive scans only the offset is noted. Planes are not written.
  ScanCheckpoints note_checkpoints(const ScanHeader& scan, const DecoderTables& tables, std::size_t offset, int every);

  // Decode a sequential scan with restart markers; threads share its restart intervals.
  std::size_t decode_intervals(const ScanHeader& scan, const DecoderTables& tables, std::size_t offset,
                               int num_threads);

  // Return the number of blocks that the scan visits, without padding of MCUs: a measure of its work.
  std::uint64_t count_visits(const ScanHeader& scan) const;

  // Zero the frequencies of progressive scans that are not kept.
  void zero_unwanted();

  const std::vector<Progress>& progress() const { return progress_; }
  const std::optional<JpegFault>& first_damage() const { return first_damage_; }

 private:
  // One block of the MCU, and its position in the current MCU row.
  struct Slot {
    std::size_t scan_index;
    int across, down;    // the plane's blocks
    int step_x, step_y;  // blocks of this component in an MCU
    int x, y;            // position of this block among them
    Block* plane;
    BlockRegion held;    // the part of the plane that is in memory
    int ring_rows;       // not 0: so many rows of it
    std::uint64_t* decoded;
    BlockRegion region;
    bool zeroes;  // zero the row before its blocks are decoded
    std::uint64_t* nonzero = nullptr;      // the plane's masks, in AC scans of progressive files
    // Columns count from the first that is held.
    Block* row = nullptr;            // null: nobody wants blocks of this row
    std::uint64_t* nonzero_row = nullptr;
    std::int64_t row_number = 0;
    int column = 0;
    int columns = 0;                 // of this row; 0 at most: the row is padding
    int wanted_begin = 0, wanted_end = 0;
  };
  void count_decoded(std::uint64_t column);
  void give_rows(std::uint64_t mcu_row_end);
  // Where decoding stopped; `slot` null: it did not.
  struct Stop {
    BlockStatus status{};
    const Slot* slot = nullptr;
  };
  void enter_row(Slot& slot, std::uint64_t row, std::uint64_t column, std::uint64_t column_end) const;
  void begin_scan(const ScanHeader& scan, const DecoderTables& tables);
  bool keeps_all() const;
  void check_progression(const ScanHeader& scan);
  void latch_tables(const ScanHeader& scan, const DecoderTables& tables);
  void plan_mcu(const ScanHeader& scan);
  void count_mcus(const ScanHeader& scan);
  template <bool selected>
  SequentialScan<selected> sequential_coder(const DecoderTables& tables);
  std::size_t decode_progressive(const DecoderTables& tables, std::size_t offset);
  std::size_t skip_scan(std::size_t offset);
  const HuffmanSpec& huffman_spec(const DecoderTables& tables, HuffmanClass table_class, int id) const;
  std::shared_ptr<const DcTable> dc_lookups(const DecoderTables& tables, int id);
  std::shared_ptr<const AcTable> ac_lookups(const DecoderTables& tables, int id, EndOfBlock end);
  HuffmanCode code(const DecoderTables& tables, HuffmanClass table_class, int id) const;
  template <class Coder>
  std::size_t run(Coder coder, std::size_t offset, int restart_interval);
  template <class Coder>
  std::pair<std::uint64_t, std::uint64_t> wanted_mcus() const;
  template <bool skips, class Coder>
  Stop decode_mcus(Coder& coder, BitReader& reader, std::uint64_t count);
  template <class Coder>
  std::optional<JpegFault> decode_interval(Coder& coder, const EntropySegment& segment, std::uint64_t first,
                                           std::uint64_t end);
  template <class Coder>
  std::optional<JpegFault> decode_rows(Coder& coder, BitReader& bits, const EntropySegment& segment,
                                       std::uint64_t first, std::uint64_t end);
  void warn_of_unread(const BitReader& bits, const EntropySegment& segment);
  // In scan_runs.cpp.
  struct Run {
    const Checkpoint* begin;
    const Checkpoint* end;
  };
  std::vector<Run> needed_runs(const ScanCheckpoints& known) const;
  template <bool selected>
  void decode_runs(const DecoderTables& tables, const std::vector<Run>& runs, int num_threads);
  template <class Coder>
  void decode_run(Coder& coder, const Run& run, int restart_interval);
  void check_end(const ScanCheckpoints& known);
  bool resume(EntropySegment& segment, std::uint64_t& mcu, int& expected, int restart_interval);
  void damage(const JpegFault& fault);
  JpegFault describe(BlockStatus status, const BitReader& bits, const EntropySegment& segment,
                     const Slot& slot) const;

  Image& image_;
  SegmentReader segments_;
  HuffmanTableLease huffman_tables_;
  Options options_;
  std::vector<Progress> progress_;
  std::optional<JpegFault> first_damage_;
  // Of the current scan.
  ScanHeader scan_;
  std::vector<Slot> slots_;
  std::uint64_t mcus_across_ = 0;
  std::uint64_t num_mcus_ = 0;
  std::uint64_t start_mcu_ = 0;      // of the first wanted row
  std::uint64_t stop_mcu_ = 0;       // end of the wanted MCUs
  bool damaged_ = false;
  std::uint64_t uncounted_ = 0;
  std::vector<std::string>* held_warnings_ = nullptr;  // of a worker, which must not touch the image's
};

}  // namespace prepixel
