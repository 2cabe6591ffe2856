#include "jpeg/scan_decoder.hpp"

#include <algorithm>
#include <cstring>

#include "jpeg/row_consumer.hpp"
#include "jpeg/sequential_block.hpp"
#include "jpeg/huffman.hpp"
#include "jpeg/progressive_block.hpp"

namespace prepixel {

void ScanDecoder::begin_scan(const ScanHeader& scan, const DecoderTables& tables) {
  scan_ = scan;
  damaged_ = false;
  if (image_.process == Process::progressive) {
    check_progression(scan);
  } else {
    for (const ScanComponent& part : scan.components) {
      if (progress_[part.index].scanned) {
        throw JpegFault(Fault::damaged, scan.offset,
                        "a second sequential scan of component " + std::to_string(part.index), hint::damaged);
      }
    }
    if (scan.ss != 0 || scan.se != 63 || scan.ah != 0 || scan.al != 0) {
      warn(image_, "byte " + std::to_string(scan.offset) + ": a sequential scan gives progressive parameters; ignored");
    }
  }
  latch_tables(scan, tables);
  plan_mcu(scan);
}

bool ScanDecoder::keeps_all() const {
  return std::all_of(scan_.components.begin(), scan_.components.end(), [&](const ScanComponent& part) {
    return options_.wanted[part.index].kept == all_frequencies;
  });
}

std::size_t ScanDecoder::decode(const ScanHeader& scan, const DecoderTables& tables, std::size_t offset) {
  begin_scan(scan, tables);
  if (image_.process == Process::progressive) return decode_progressive(tables, offset);
  return keeps_all() ? run(sequential_coder<false>(tables), offset, tables.restart_interval)
                     : run(sequential_coder<true>(tables), offset, tables.restart_interval);
}

template <bool selected>
SequentialScan<selected> ScanDecoder::sequential_coder(const DecoderTables& tables) {
  SequentialScan<selected> coder;
  for (std::size_t i = 0; i < scan_.components.size(); ++i) {
    const ScanComponent& part = scan_.components[i];
    SequentialTables& component = coder.components[i];
    component.dc = dc_lookups(tables, part.dc_table);
    component.ac = ac_lookups(tables, part.ac_table, EndOfBlock::eob);
    component.scan_order = ScanOrderMap(options_.wanted[part.index].kept);
  }
  return coder;
}

std::size_t ScanDecoder::decode_progressive(const DecoderTables& tables, std::size_t offset) {
  const bool is_first = scan_.ah == 0;
  if (scan_.ss == 0 && is_first) {
    DcFirstScan coder{.codes = {}, .al = scan_.al};
    for (std::size_t i = 0; i < scan_.components.size(); ++i) {
      coder.codes[i] = code(tables, HuffmanClass::dc, scan_.components[i].dc_table);
    }
    return run(std::move(coder), offset, tables.restart_interval);
  }
  if (scan_.ss == 0) return run(DcRefinementScan{.al = scan_.al}, offset, tables.restart_interval);
  const std::size_t index = scan_.components[0].index;
  if (scan_.ss > ScanOrderMap(options_.wanted[index].kept).last) return skip_scan(offset);
  Progress& progress = progress_[index];
  const std::uint64_t band = band_mask(scan_.ss, scan_.se);
  Component& component = image_.components[index];
  if (progress.nonzero.empty()) progress.nonzero = NonzeroMasks(component.blocks.size());
  slots_[0].nonzero = progress.nonzero.data();
  const int ac_id = scan_.components[0].ac_table;
  std::size_t next = 0;
  if (is_first) {
    AcFirstScan coder{
        .table = ac_lookups(tables, ac_id, EndOfBlock::eobn), .ss = scan_.ss, .se = scan_.se, .al = scan_.al};
    next = run(std::move(coder), offset, tables.restart_interval);
  } else if ((progress.corrupt & band) == 0) {
    AcRefinementScan coder{.code = code(tables, HuffmanClass::ac, ac_id), .state = {.al = scan_.al, .band = band}};
    next = run(std::move(coder), offset, tables.restart_interval);
  } else {
    // Its syntax depends on coefficients that were lost, and so do all of its restart intervals.
    warn(image_, "byte " + std::to_string(scan_.offset) + ": a scan that refines damaged coefficients is left out");
    next = skip_scan(offset);
  }
  if (damaged_) progress.corrupt |= band;
  return next;
}

// Return the offset of the marker that ends a scan that is not decoded.
std::size_t ScanDecoder::skip_scan(std::size_t offset) {
  EntropySegment segment = segments_.read(offset);
  while (marker::is_restart(segment.marker)) segment = segments_.read(segment.after_marker);
  return segment.file_end;
}

void ScanDecoder::zero_unwanted() {
  if (image_.process != Process::progressive) return;
  for (std::size_t i = 0; i < progress_.size(); ++i) {
    const std::uint64_t kept = options_.wanted[i].kept;
    if (kept == all_frequencies) continue;
    Block mask;
    for (std::size_t k = 0; k < 64; ++k) mask[k] = static_cast<std::int16_t>(-static_cast<int>(kept >> k & 1));
    for (Block& block : image_.components[i].blocks)
      for (std::size_t k = 0; k < 64; ++k) block[k] = static_cast<std::int16_t>(block[k] & mask[k]);
  }
}

// Move a slot to its block in MCU `column` of the MCU row `row`; MCUs up to `column_end` are decoded next.
void ScanDecoder::enter_row(Slot& slot, std::uint64_t row, std::uint64_t column, std::uint64_t column_end) const {
  const std::int64_t block_row = static_cast<std::int64_t>(row) * slot.step_y + slot.y;
  const int origin = slot.held.column_begin;
  slot.row_number = block_row;
  slot.columns = block_row < slot.down ? slot.across - origin : 0;
  slot.column = static_cast<int>(column) * slot.step_x + slot.x - origin;
  const bool wanted = block_row >= std::max(slot.region.row_begin, slot.held.row_begin) &&
                      block_row < std::min(slot.region.row_end, slot.held.row_end);
  slot.wanted_begin = wanted ? std::max(slot.region.column_begin, origin) - origin : 0;
  slot.wanted_end = wanted ? std::min(slot.region.column_end, slot.held.column_end) - origin : 0;
  const std::int64_t held_row = slot.ring_rows != 0 ? block_row % slot.ring_rows : block_row - slot.held.row_begin;
  const std::int64_t place = wanted ? held_row * (slot.held.column_end - origin) : 0;
  slot.row = wanted ? slot.plane + place : nullptr;
  slot.nonzero_row = wanted && slot.nonzero != nullptr ? slot.nonzero + place : nullptr;
  if (!slot.zeroes) return;
  const int begin = std::max(slot.wanted_begin, slot.column);
  const int end = std::min(slot.wanted_end, static_cast<int>(column_end) * slot.step_x - origin);
  if (begin < end) std::memset(slot.row[begin].data(), 0, static_cast<std::size_t>(end - begin) * sizeof(Block));
}

// Return the range of MCUs of the row that hold wanted blocks; the whole row where the coder cannot skip blocks.
template <class Coder>
std::pair<std::uint64_t, std::uint64_t> ScanDecoder::wanted_mcus() const {
  if (!Coder::can_skip) return {0, mcus_across_};
  std::uint64_t begin = mcus_across_, end = 0;
  for (const Slot& slot : slots_) {
    if (slot.wanted_begin >= slot.wanted_end) continue;
    const int origin = slot.held.column_begin;
    begin = std::min(begin, static_cast<std::uint64_t>((slot.wanted_begin + origin) / slot.step_x));
    end = std::max(end, static_cast<std::uint64_t>(ceil_divide(slot.wanted_end + origin, slot.step_x)));
  }
  return {std::min(begin, end), end};
}

// Decode the next `count` MCUs of the row, or skip them.
template <bool skips, class Coder>
ScanDecoder::Stop ScanDecoder::decode_mcus(Coder& coder, BitReader& reader, std::uint64_t count) {
  BitReader bits = reader;  // a copy, so that its window stays in registers
  const bool keep = options_.keep;
  Block scratch{};
  Block before{};
  std::uint64_t scratch_nonzero = 0;
  for (; count != 0; --count) {
    for (Slot& slot : slots_) {
      BlockStatus status;
      if constexpr (skips) {
        status = coder.skip(bits, slot.scan_index);
      } else {
        // Blocks that are not wanted, or only pad an MCU (A.2.4), are decoded and discarded.
        const bool wanted = slot.column >= slot.wanted_begin && slot.column < slot.wanted_end;
        Block& block = wanted ? slot.row[slot.column] : scratch;
        if (keep) before = block;
        if constexpr (Coder::has_masks)
          status = coder.block(bits, block, wanted ? slot.nonzero_row[slot.column] : scratch_nonzero);
        else
          status = coder.block(bits, block, slot.scan_index);
        if (keep && (status != BlockStatus::ok || bits.overrun())) block = before;
      }
      if (status != BlockStatus::ok || bits.overrun()) [[unlikely]] {
        reader = bits;
        return {status, &slot};
      }
      slot.column += slot.step_x;
    }
  }
  reader = bits;
  return {};
}

template <class Coder>
std::size_t ScanDecoder::run(Coder coder, std::size_t offset, int restart_interval) {
  EntropySegment segment = segments_.read(offset);
  const auto interval = static_cast<std::uint64_t>(restart_interval);
  int expected = 0;
  for (std::uint64_t mcu = 0; mcu < stop_mcu_;) {
    const std::uint64_t end = interval == 0 ? num_mcus_ : std::min(num_mcus_, mcu + interval);
    if (end > start_mcu_) {
      coder.restart();
      if (const auto fault = decode_interval(coder, segment, mcu, end)) damage(*fault);
    }
    mcu = end;
    if (mcu >= stop_mcu_ || !resume(segment, mcu, expected, restart_interval)) break;
  }
  // Skip the remaining restart intervals of a scan that is damaged, or whose other rows are not wanted.
  while ((damaged_ || stop_mcu_ < num_mcus_) && marker::is_restart(segment.marker)) {
    segment = segments_.read(segment.after_marker);
  }
  return segment.file_end;
}

// Tell the consumer, if there is one, that the wanted blocks of these rows of MCUs are decoded.
void ScanDecoder::give_rows(std::uint64_t mcu_row_end) {
  if (options_.rows != nullptr) options_.rows->take(image_, static_cast<int>(mcu_row_end));
}

// Count the blocks of an MCU row that were decoded from MCU `column` on.
void ScanDecoder::count_decoded(std::uint64_t column) {
  for (const Slot& slot : slots_) {
    const int begin = static_cast<int>(column) * slot.step_x + slot.x - slot.held.column_begin;
    const int end = std::min(slot.column, slot.columns);
    if (begin < end) *slot.decoded += static_cast<std::uint64_t>((end - begin - 1) / slot.step_x + 1);
  }
}

// Decode the MCUs from `first` up to `end`, all of one restart interval, as far as anybody wants them.
template <class Coder>
std::optional<JpegFault> ScanDecoder::decode_rows(Coder& coder, BitReader& bits, const EntropySegment& segment,
                                                  std::uint64_t first, std::uint64_t end) {
  std::uint64_t row = first / mcus_across_;
  std::uint64_t column = first % mcus_across_;
  for (std::uint64_t mcu = first; mcu < end; ++row, column = 0) {
    const std::uint64_t row_end = std::min(mcus_across_, column + (end - mcu));
    for (Slot& slot : slots_) enter_row(slot, row, column, row_end);
    const auto [wanted_begin, wanted_end] = wanted_mcus<Coder>();
    const std::uint64_t begin_at = std::clamp(wanted_begin, column, row_end);
    const std::uint64_t end_at = std::clamp(wanted_end, begin_at, row_end);
    Stop stop;
    if constexpr (Coder::can_skip) stop = decode_mcus<true>(coder, bits, begin_at - column);
    if (stop.slot == nullptr) stop = decode_mcus<false>(coder, bits, end_at - begin_at);
    if constexpr (Coder::can_skip)
      if (stop.slot == nullptr) stop = decode_mcus<true>(coder, bits, row_end - end_at);
    count_decoded(column);
    if (stop.slot != nullptr) return describe(stop.status, bits, segment, *stop.slot);
    mcu += row_end - column;
    if (row_end == mcus_across_) give_rows(row + 1);
    if (mcu >= stop_mcu_) break;
  }
  return std::nullopt;
}

template <class Coder>
std::optional<JpegFault> ScanDecoder::decode_interval(Coder& coder, const EntropySegment& segment, std::uint64_t first,
                                                      std::uint64_t end) {
  BitReader bits(segment);
  std::optional<JpegFault> fault = decode_rows(coder, bits, segment, first, end);
  if (!fault && end <= stop_mcu_) warn_of_unread(bits, segment);
  return fault;
}

void ScanDecoder::warn_of_unread(const BitReader& bits, const EntropySegment& segment) {
  const std::size_t unread = bits.unread_bytes();
  if (unread == 0) return;
  const std::string text = "byte " + std::to_string(segment.file_end) + ": " + counted(unread, "byte") +
                           " before this marker beyond the last block";
  if (held_warnings_ != nullptr) held_warnings_->push_back(text);
  else warn(image_, text);
}

// Read the restart marker that must follow (E.2.4). With `keep`, the number of a wrong one decides, modulo 8: one or
// two ahead of the expected number, intervals were lost; one or two behind, the marker is stale; otherwise it is the
// expected one, damaged.
bool ScanDecoder::resume(EntropySegment& segment, std::uint64_t& mcu, int& expected, int restart_interval) {
  if (segment.marker != marker::rst0 + expected) {
    const std::string wanted = marker::name(static_cast<std::uint8_t>(marker::rst0 + expected));
    if (segment.marker == 0 || segment.marker == marker::eoi) {
      damage({Fault::truncated, segment.file_end,
              std::string(segment.marker == 0 ? "the file ends" : "EOI stands") + " where " + wanted + " of scan " +
                  std::to_string(image_.num_scans) + " must follow, " + std::to_string(mcu) + " of " +
                  std::to_string(num_mcus_) + " MCUs decoded",
              hint::cut_short});
      return false;
    }
    damage({Fault::damaged, segment.file_end, wanted + " must stand here, not " + marker::name(segment.marker),
            hint::cut_short});
    for (;;) {
      if (!marker::is_restart(segment.marker)) return false;
      const int ahead = (segment.marker - marker::rst0 - expected) & 7;
      if (ahead == 1 || ahead == 2) {
        mcu += static_cast<std::uint64_t>(ahead) * static_cast<std::uint64_t>(restart_interval);
        expected = (expected + ahead) & 7;
      }
      if (ahead < 6) break;
      segment = segments_.read(segment.after_marker);
    }
    if (mcu >= num_mcus_) return false;
  }
  expected = (expected + 1) & 7;
  segment = segments_.read(segment.after_marker);
  return true;
}

void ScanDecoder::damage(const JpegFault& fault) {
  if (!options_.keep) throw fault;
  damaged_ = true;
  if (!first_damage_) first_damage_ = fault;
  warn(image_, "byte " + std::to_string(fault.byte_offset) + ": " + fault.what());
}

JpegFault ScanDecoder::describe(BlockStatus status, const BitReader& bits, const EntropySegment& segment,
                                const Slot& slot) const {
  const std::size_t index = scan_.components[slot.scan_index].index;
  std::string where = " in scan " + std::to_string(image_.num_scans) + ", component " + std::to_string(index);
  if (slot.column < slot.columns) {
    where += ", block (" + std::to_string(slot.row_number) + ", " +
             std::to_string(slot.column + slot.held.column_begin) + ")";
  }
  if (bits.overrun()) {
    if (segment.marker == 0) return {Fault::truncated, segment.file_end, "the file ends" + where, hint::cut_short};
    const Fault kind = segment.marker == marker::eoi ? Fault::truncated : Fault::damaged;
    return {kind, segment.file_end, "entropy-coded data end at " + marker::name(segment.marker) + where,
            hint::cut_short};
  }
  const std::size_t offset = segments_.file_offset(segment, static_cast<std::size_t>(bits.consumed_bits() / 8));
  if (status == BlockStatus::bad_code)
    return {Fault::damaged, offset, "bits that begin no Huffman code" + where, hint::cut_short};
  return {Fault::damaged, offset, "a run of zeros passes the band's last coefficient" + where, hint::cut_short};
}

// For scan_runs.cpp.
template SequentialScan<false> ScanDecoder::sequential_coder<false>(const DecoderTables&);
template SequentialScan<true> ScanDecoder::sequential_coder<true>(const DecoderTables&);
template ScanDecoder::Stop ScanDecoder::decode_mcus<true>(SequentialScan<false>&, BitReader&, std::uint64_t);
template std::optional<JpegFault> ScanDecoder::decode_rows(SequentialScan<false>&, BitReader&, const EntropySegment&,
                                                           std::uint64_t, std::uint64_t);
template std::optional<JpegFault> ScanDecoder::decode_rows(SequentialScan<true>&, BitReader&, const EntropySegment&,
                                                           std::uint64_t, std::uint64_t);

}  // namespace prepixel
