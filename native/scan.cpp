#include "scan.hpp"

#include <algorithm>

#include "huffman.hpp"
#include "progressive_decoding.hpp"

namespace prepixel {

namespace {

const std::string damaged_file = "Fetch the file again, or read what is there with on_truncated=\"keep\"";
const std::string damaged_header = "The file is damaged; fetch it again or leave it out";

int ceil_divide(int a, int b) { return (a + b - 1) / b; }

}  // namespace

void warn(Image& image, const std::string& text) {
  constexpr std::size_t most = 20;
  if (image.warnings.size() < most) image.warnings.push_back(text);
  if (image.warnings.size() == most) image.warnings.emplace_back("more warnings than these are left out");
}

ScanDecoder::ScanDecoder(Image& image, std::span<const std::uint8_t> file, bool keep)
    : image_(image), segments_(file), keep_(keep), progress_(image.components.size()) {
  for (Progress& progress : progress_) progress.low_bits.fill(-1);
}

std::uint64_t ScanDecoder::count_visits(const ScanHeader& scan) const {
  std::uint64_t visits = 0;
  for (const ScanComponent& part : scan.components) visits += image_.components[part.index].blocks.size();
  return visits;
}

// G.1.1.1.1, and the order of successive approximation.
void ScanDecoder::check_progression(const ScanHeader& scan) {
  const int start = scan.spectral_start;
  const int end = scan.spectral_end;
  const int high = scan.approximation_high;
  const int low = scan.approximation_low;
  const bool is_dc = start == 0;
  const bool valid = (is_dc ? end == 0 : start <= end && end <= 63 && scan.components.size() == 1) &&
                     (high == 0 || low == high - 1) && low <= 13;
  if (!valid) {
    throw JpegFault(Fault::malformed, scan.offset,
                    "progressive scan of coefficients " + std::to_string(start) + " to " + std::to_string(end) +
                        ", bits " + std::to_string(high) + " to " + std::to_string(low) + ", of " +
                        std::to_string(scan.components.size()) + " components; no such scan exists",
                    damaged_header);
  }
  for (const ScanComponent& part : scan.components) {
    auto& known = progress_[part.index].low_bits;
    for (int k = is_dc ? 0 : start; k <= end; ++k) {
      const int before = known[static_cast<std::size_t>(k)];
      if (high != std::max(before, 0) || (!is_dc && known[0] < 0)) {
        throw JpegFault(Fault::malformed, scan.offset,
                        "progressive scan out of order: coefficient " + std::to_string(k) + " of component " +
                            std::to_string(part.index) + " cannot go to bit " + std::to_string(low) + " now",
                        damaged_header);
      }
      known[static_cast<std::size_t>(k)] = static_cast<std::int8_t>(low);
    }
  }
}

void ScanDecoder::latch_tables(const ScanHeader& scan, const DecoderTables& tables) {
  for (const ScanComponent& part : scan.components) {
    Component& component = image_.components[part.index];
    Progress& progress = progress_[part.index];
    if (progress.table_latched) continue;
    if (component.table_id > 3 || !tables.quantization[component.table_id]) {
      throw JpegFault(Fault::malformed, scan.offset,
                      "component " + std::to_string(part.index) + " uses quantization table " +
                          std::to_string(component.table_id) + ", which no DQT has defined",
                      damaged_header);
    }
    component.quantization = *tables.quantization[component.table_id];
    progress.table_latched = true;
  }
}

// A.2: one component is scanned block by block over its own blocks, several MCU by MCU.
void ScanDecoder::lay_out(const ScanHeader& scan) {
  const bool interleaved = scan.components.size() > 1;
  const bool counts =
      image_.process != Process::progressive || (scan.spectral_start == 0 && scan.approximation_high == 0);
  slots_.clear();
  int num_blocks = 0;
  for (std::size_t i = 0; i < scan.components.size(); ++i) {
    const std::size_t index = scan.components[i].index;
    Component& component = image_.components[index];
    Progress& progress = progress_[index];
    std::uint64_t* decoded = counts && !progress.scanned ? &progress.decoded_blocks : &uncounted_;
    progress.scanned = progress.scanned || counts;
    const int across = interleaved ? component.sampling_h : 1;
    const int down = interleaved ? component.sampling_v : 1;
    num_blocks += across * down;
    for (int y = 0; y < down; ++y) {
      for (int x = 0; x < across; ++x) {
        slots_.push_back({.scan_index = i,
                          .across = component.blocks_across,
                          .down = component.blocks_down,
                          .step_x = across,
                          .step_y = down,
                          .x = x,
                          .y = y,
                          .plane = component.blocks.data(),
                          .decoded = decoded});
      }
    }
  }
  if (interleaved && num_blocks > 10) {
    throw JpegFault(Fault::malformed, scan.offset,
                    "interleaved scan with " + std::to_string(num_blocks) + " blocks in an MCU; 10 is the most (B.2.3)",
                    damaged_header);
  }
  const Component& first = image_.components[scan.components[0].index];
  int across = first.blocks_across;
  int down = first.blocks_down;
  if (interleaved) {
    int max_h = 1;
    int max_v = 1;
    for (const Component& component : image_.components) {
      max_h = std::max(max_h, component.sampling_h);
      max_v = std::max(max_v, component.sampling_v);
    }
    across = ceil_divide(image_.width, 8 * max_h);
    down = ceil_divide(image_.height, 8 * max_v);
  }
  mcus_across_ = static_cast<std::uint64_t>(across);
  num_mcus_ = mcus_across_ * static_cast<std::uint64_t>(down);
}

const HuffmanSpec& ScanDecoder::huffman_spec(const DecoderTables& tables, HuffmanClass table_class, int id) const {
  const auto& defined = table_class == HuffmanClass::dc ? tables.dc : tables.ac;
  if (id < 4 && defined[static_cast<std::size_t>(id)]) return *defined[static_cast<std::size_t>(id)];
  if (id < 2 && image_.process != Process::progressive) return standard_huffman(table_class, id);
  throw JpegFault(Fault::malformed, scan_.offset,
                  std::string("scan uses ") + (table_class == HuffmanClass::dc ? "DC" : "AC") + " Huffman table " +
                      std::to_string(id) + ", which no DHT has defined",
                  damaged_header);
}

namespace {

JpegFault bad_table(std::size_t offset, HuffmanClass table_class, int id) {
  return {Fault::malformed, offset,
          std::string(table_class == HuffmanClass::dc ? "DC" : "AC") + " Huffman table " + std::to_string(id) +
              " is no prefix code that leaves the code of all ones free (C.2), or holds a DC symbol above 15",
          damaged_header};
}

}  // namespace

std::shared_ptr<const DcTable> ScanDecoder::dc_lookups(const DecoderTables& tables, int id) const {
  auto table = dc_table(huffman_spec(tables, HuffmanClass::dc, id));
  if (!table) throw bad_table(scan_.offset, HuffmanClass::dc, id);
  return table;
}

std::shared_ptr<const AcTable> ScanDecoder::ac_lookups(const DecoderTables& tables, int id, EndOfBlock end) const {
  auto table = ac_table(huffman_spec(tables, HuffmanClass::ac, id), end);
  if (!table) throw bad_table(scan_.offset, HuffmanClass::ac, id);
  return table;
}

HuffmanCode ScanDecoder::code(const DecoderTables& tables, HuffmanClass table_class, int id) const {
  auto made = HuffmanCode::make(huffman_spec(tables, table_class, id), table_class);
  if (!made) throw bad_table(scan_.offset, table_class, id);
  return *made;
}

std::size_t ScanDecoder::decode(const ScanHeader& scan, const DecoderTables& tables, std::size_t offset) {
  scan_ = scan;
  damaged_ = false;
  const int start = scan.spectral_start;
  const int end = scan.spectral_end;
  const int low = scan.approximation_low;
  const bool progressive = image_.process == Process::progressive;
  if (progressive) {
    check_progression(scan);
  } else {
    for (const ScanComponent& part : scan.components) {
      if (progress_[part.index].scanned) {
        throw JpegFault(Fault::malformed, scan.offset,
                        "a second sequential scan of component " + std::to_string(part.index), damaged_header);
      }
    }
    if (start != 0 || end != 63 || scan.approximation_high != 0 || low != 0) {
      warn(image_, "byte " + std::to_string(scan.offset) + ": a sequential scan gives progressive parameters; ignored");
    }
  }
  latch_tables(scan, tables);
  lay_out(scan);

  if (!progressive) {
    SequentialScan coder;
    for (std::size_t i = 0; i < scan.components.size(); ++i) {
      coder.dc[i] = dc_lookups(tables, scan.components[i].dc_table);
      coder.ac[i] = ac_lookups(tables, scan.components[i].ac_table, EndOfBlock::alone);
    }
    return run(std::move(coder), offset, tables.restart_interval);
  }
  if (start == 0 && scan.approximation_high == 0) {
    DcFirstScan coder{.codes = {}, .low = low};
    for (std::size_t i = 0; i < scan.components.size(); ++i) {
      coder.codes[i] = code(tables, HuffmanClass::dc, scan.components[i].dc_table);
    }
    return run(std::move(coder), offset, tables.restart_interval);
  }
  if (start == 0) return run(DcRefinementScan{.low = low}, offset, tables.restart_interval);
  Progress& progress = progress_[scan.components[0].index];
  const std::uint64_t band = band_mask(start, end);
  Component& component = image_.components[scan.components[0].index];
  if (progress.nonzero.empty()) progress.nonzero = NonzeroMasks(component.blocks.size());
  const NonzeroPlane plane{component.blocks.data(), progress.nonzero.data()};
  const int ac_id = scan.components[0].ac_table;
  std::size_t next = 0;
  if (scan.approximation_high == 0) {
    AcFirstScan coder{.table = ac_lookups(tables, ac_id, EndOfBlock::run), .plane = plane, .start = start, .end = end,
                      .low = low};
    next = run(std::move(coder), offset, tables.restart_interval);
  } else if ((progress.spoiled & band) == 0) {
    AcRefinementScan coder{.code = code(tables, HuffmanClass::ac, ac_id), .plane = plane,
                           .state = {.low = low, .band = band}};
    next = run(std::move(coder), offset, tables.restart_interval);
  } else {
    // How its bits are read depends on coefficients that were lost; the next segments tell nothing without them.
    warn(image_, "byte " + std::to_string(scan.offset) + ": a scan that refines damaged coefficients is left out");
    EntropySegment segment = segments_.read(offset);
    while (marker::is_restart(segment.marker)) segment = segments_.read(segment.after_marker);
    next = segment.file_end;
  }
  if (damaged_) progress.spoiled |= band;
  return next;
}

template <class Coder>
std::size_t ScanDecoder::run(Coder coder, std::size_t offset, int restart_interval) {
  EntropySegment segment = segments_.read(offset);
  const auto interval = static_cast<std::uint64_t>(restart_interval);
  int expected = 0;
  for (std::uint64_t mcu = 0; mcu < num_mcus_;) {
    const std::uint64_t end = interval == 0 ? num_mcus_ : std::min(num_mcus_, mcu + interval);
    coder.restart();
    if (const auto fault = decode_interval(coder, segment, mcu, end)) damage(*fault);
    mcu = end;
    if (mcu == num_mcus_ || !resume(segment, mcu, expected, restart_interval)) break;
  }
  // What is left of a damaged scan: restart markers that nobody waits for.
  while (damaged_ && marker::is_restart(segment.marker)) segment = segments_.read(segment.after_marker);
  return segment.file_end;
}

template <class Coder>
std::optional<JpegFault> ScanDecoder::decode_interval(Coder& coder, const EntropySegment& segment, std::uint64_t first,
                                                      std::uint64_t end) {
  BitReader bits(segment);
  Block scratch{};
  Block before{};
  std::uint64_t row = first / mcus_across_;
  std::uint64_t column = first % mcus_across_;
  for (std::uint64_t mcu = first; mcu < end; ++row, column = 0) {
    for (Slot& slot : slots_) {
      const auto block_row = static_cast<std::int64_t>(row) * slot.step_y + slot.y;
      slot.columns = block_row < slot.down ? slot.across : 0;
      slot.row = slot.columns != 0 ? slot.plane + block_row * slot.across : nullptr;
      slot.column = static_cast<int>(column) * slot.step_x + slot.x;
    }
    const std::uint64_t row_end = std::min(end, mcu + (mcus_across_ - column));
    for (; mcu < row_end; ++mcu) {
      for (Slot& slot : slots_) {
        const bool inside = slot.column < slot.columns;  // blocks that only fill an MCU are decoded and dropped
        Block& block = inside ? slot.row[slot.column] : scratch;
        if (keep_) before = block;
        const BlockStatus status = coder.block(bits, block, slot.scan_index);
        if (status != BlockStatus::ok || bits.overrun()) [[unlikely]] {
          if (keep_) block = before;
          return describe(status, bits, segment, slot, inside ? &block : nullptr);
        }
        *slot.decoded += inside ? 1 : 0;
        slot.column += slot.step_x;
      }
    }
  }
  if (const std::size_t unread = bits.unread_bytes(); unread != 0) {
    warn(image_, "byte " + std::to_string(segment.file_end) + ": " + counted(unread, "byte") +
                     " before this marker beyond the last block");
  }
  return std::nullopt;
}

// Step over the restart marker that must follow (E.2.4). With `keep`, a wrong one is taken for what its number says, as
// far as three bits can say: one or two ahead, intervals were lost; one or two behind, it is left over; else it is the
// expected one, damaged.
bool ScanDecoder::resume(EntropySegment& segment, std::uint64_t& mcu, int& expected, int restart_interval) {
  if (segment.marker != marker::rst0 + expected) {
    const std::string wanted = marker::name(static_cast<std::uint8_t>(marker::rst0 + expected));
    if (segment.marker == 0 || segment.marker == marker::eoi) {
      damage({Fault::truncated, segment.file_end,
              std::string(segment.marker == 0 ? "the file ends" : "EOI stands") + " where " + wanted + " of scan " +
                  std::to_string(image_.num_scans) + " must follow, " + std::to_string(mcu) + " of " +
                  std::to_string(num_mcus_) + " MCUs decoded",
              damaged_file});
      return false;
    }
    damage({Fault::malformed, segment.file_end, wanted + " must stand here, not " + marker::name(segment.marker),
            damaged_file});
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
  if (!keep_) throw fault;
  damaged_ = true;
  if (!first_damage_) first_damage_ = fault;
  warn(image_, "byte " + std::to_string(fault.byte_offset) + ": " + fault.what());
}

JpegFault ScanDecoder::describe(BlockStatus status, const BitReader& bits, const EntropySegment& segment,
                                const Slot& slot, const Block* block) const {
  const std::size_t index = scan_.components[slot.scan_index].index;
  std::string where = " in scan " + std::to_string(image_.num_scans) + ", component " + std::to_string(index);
  if (block != nullptr) {
    const auto at = block - slot.plane;
    where += ", block (" + std::to_string(at / slot.across) + ", " + std::to_string(at % slot.across) + ")";
  }
  if (bits.overrun()) {
    if (segment.marker == 0) return {Fault::truncated, segment.file_end, "the file ends" + where, damaged_file};
    const Fault kind = segment.marker == marker::eoi ? Fault::truncated : Fault::malformed;
    return {kind, segment.file_end, "entropy-coded data end at " + marker::name(segment.marker) + where, damaged_file};
  }
  const std::size_t offset = segments_.file_offset(segment, bits.consumed_bits() / 8);
  if (status == BlockStatus::bad_code)
    return {Fault::malformed, offset, "bits that begin no Huffman code" + where, damaged_file};
  return {Fault::malformed, offset, "a run of zeros passes the band's last coefficient" + where, damaged_file};
}

}  // namespace prepixel
