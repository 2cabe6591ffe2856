#include <algorithm>

#include "jpeg/huffman.hpp"
#include "jpeg/scan_decoder.hpp"

namespace prepixel {

ScanDecoder::ScanDecoder(Image& image, std::span<const std::uint8_t> file, Options options)
    : image_(image), segments_(file), options_(std::move(options)), progress_(image.components.size()) {
  for (Progress& progress : progress_) progress.low_bits.fill(-1);
  options_.wanted.resize(progress_.size());
  options_.used.resize(progress_.size());
  if (image.process != Process::progressive) return;
  // The syntax of a refinement scan depends on earlier scans of the block, so whole rows are decoded, from the first
  // on.
  for (Selection& wanted : options_.wanted) {
    const int end = options_.may_stop ? wanted.region.row_end : BlockRegion{}.row_end;
    wanted.region = {.row_end = end};
  }
}

std::uint64_t ScanDecoder::count_visits(const ScanHeader& scan) const {
  std::uint64_t visits = 0;
  for (const ScanComponent& part : scan.components) visits += image_.components[part.index].num_blocks();
  return visits;
}

// G.1.1.1.1, and the order of successive approximation.
void ScanDecoder::check_progression(const ScanHeader& scan) {
  const auto [ss, se, ah, al] = std::array{scan.ss, scan.se, scan.ah, scan.al};
  const bool is_dc = ss == 0;
  const bool valid = (is_dc ? se == 0 : ss <= se && se <= 63 && scan.components.size() == 1) &&
                     (ah == 0 || al == ah - 1) && al <= 13;
  if (!valid) {
    throw JpegFault(Fault::malformed, scan.offset,
                    "progressive scan of coefficients " + std::to_string(ss) + " to " + std::to_string(se) +
                        ", bits " + std::to_string(ah) + " to " + std::to_string(al) + ", of " +
                        std::to_string(scan.components.size()) + " components; no such scan exists",
                    hint::damaged);
  }
  for (const ScanComponent& part : scan.components) {
    auto& low_bits = progress_[part.index].low_bits;
    for (int k = ss; k <= se; ++k) {
      const int before = low_bits[static_cast<std::size_t>(k)];
      if (ah != std::max(before, 0) || (!is_dc && low_bits[0] < 0)) {
        throw JpegFault(Fault::damaged, scan.offset,
                        "progressive scan out of order: coefficient " + std::to_string(k) + " of component " +
                            std::to_string(part.index) + " cannot go to bit " + std::to_string(al) + " now",
                        hint::damaged);
      }
      low_bits[static_cast<std::size_t>(k)] = static_cast<std::int8_t>(al);
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
                      hint::damaged);
    }
    component.quantization = *tables.quantization[component.table_id];
    progress.table_latched = true;
  }
}

// A.2: one component is scanned block by block over its own blocks, several MCU by MCU.
void ScanDecoder::plan_mcu(const ScanHeader& scan) {
  const bool interleaved = scan.components.size() > 1;
  const bool counts =
      image_.process != Process::progressive || (scan.ss == 0 && scan.ah == 0);
  slots_.clear();
  int num_blocks = 0;
  for (std::size_t i = 0; i < scan.components.size(); ++i) {
    const std::size_t index = scan.components[i].index;
    Component& component = image_.components[index];
    Progress& progress = progress_[index];
    const bool first = counts && !progress.scanned;  // a progressive file may say its DC again
    std::uint64_t* decoded = first ? &progress.decoded_blocks : &uncounted_;
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
                          .held = component.held,
                          .ring_rows = component.ring_rows,
                          .decoded = decoded,
                          .region = options_.wanted[index].region,
                          .zeroes = (options_.used[index] || component.ring_rows != 0) && first && x == 0});
      }
    }
  }
  if (interleaved && num_blocks > 10) {
    throw JpegFault(Fault::malformed, scan.offset,
                    "interleaved scan with " + std::to_string(num_blocks) + " blocks in an MCU; 10 is the most (B.2.3)",
                    hint::damaged);
  }
  count_mcus(scan);
}

void ScanDecoder::count_mcus(const ScanHeader& scan) {
  const bool interleaved = scan.components.size() > 1;
  const Component& first = image_.components[scan.components[0].index];
  int across = first.blocks_across;
  int down = first.blocks_down;
  if (interleaved) {
    const FrameGeometry geometry(image_.height, image_.width, image_.components);
    across = geometry.mcus_across();
    down = geometry.mcus_down();
  }
  mcus_across_ = static_cast<std::uint64_t>(across);
  num_mcus_ = mcus_across_ * static_cast<std::uint64_t>(down);
  start_mcu_ = 0;
  stop_mcu_ = num_mcus_;
  if (!options_.may_stop) return;
  int begin = down, end = 0;
  for (const Slot& slot : slots_) {
    if (slot.region.row_begin >= slot.region.row_end) continue;
    begin = std::min(begin, slot.region.row_begin / slot.step_y);
    end = std::max(end, ceil_divide(std::min(slot.region.row_end, slot.down), slot.step_y));
  }
  start_mcu_ = std::min(num_mcus_, mcus_across_ * static_cast<std::uint64_t>(begin));
  stop_mcu_ = std::min(num_mcus_, mcus_across_ * static_cast<std::uint64_t>(end));
}

const HuffmanSpec& ScanDecoder::huffman_spec(const DecoderTables& tables, HuffmanClass table_class, int id) const {
  const auto& defined = table_class == HuffmanClass::dc ? tables.dc : tables.ac;
  if (id < 4 && defined[static_cast<std::size_t>(id)]) return *defined[static_cast<std::size_t>(id)];
  if (id < 2 && image_.process != Process::progressive) return standard_huffman(table_class, id);
  throw JpegFault(Fault::malformed, scan_.offset,
                  std::string("scan uses ") + (table_class == HuffmanClass::dc ? "DC" : "AC") + " Huffman table " +
                      std::to_string(id) + ", which no DHT has defined",
                  hint::damaged);
}

namespace {

JpegFault bad_table(std::size_t offset, HuffmanClass table_class, int id) {
  return {Fault::malformed, offset,
          std::string(table_class == HuffmanClass::dc ? "DC" : "AC") + " Huffman table " + std::to_string(id) +
              " is no prefix code that leaves the code of all ones free (C.2), or holds a DC symbol above 15",
          hint::damaged};
}

}  // namespace

std::shared_ptr<const DcTable> ScanDecoder::dc_lookups(const DecoderTables& tables, int id) {
  auto table = huffman_tables_.dc(huffman_spec(tables, HuffmanClass::dc, id));
  if (!table) throw bad_table(scan_.offset, HuffmanClass::dc, id);
  return table;
}

std::shared_ptr<const AcTable> ScanDecoder::ac_lookups(const DecoderTables& tables, int id, EndOfBlock end) {
  auto table = huffman_tables_.ac(huffman_spec(tables, HuffmanClass::ac, id), end);
  if (!table) throw bad_table(scan_.offset, HuffmanClass::ac, id);
  return table;
}

HuffmanCode ScanDecoder::code(const DecoderTables& tables, HuffmanClass table_class, int id) const {
  auto made = HuffmanCode::make(huffman_spec(tables, table_class, id), table_class);
  if (!made) throw bad_table(scan_.offset, table_class, id);
  return *made;
}

}  // namespace prepixel
