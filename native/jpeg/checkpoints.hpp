// Places where the decoding of a scan can begin: what an index of a file holds.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace prepixel {

// The state of a sequential decoder between two MCUs.
struct Checkpoint {
  std::uint64_t mcu = 0;  // of its scan: the one that comes next
  // Of the file: 8 times the offset of the byte that holds the next bit, plus the bit's place, 0 the highest. Of a
  // stuffed byte, 0xFF counts. At the start of a restart interval: behind the marker.
  std::uint64_t bit = 0;
  std::array<std::int16_t, 4> dc_predictors{};  // of the scan's components, modulo 2^16, as they are stored
};

struct ScanCheckpoints {
  std::size_t data_begin = 0;  // of the entropy-coded data
  std::size_t data_end = 0;    // of the 0xFF of the marker that ends them
  // Sequential scans only.
  std::uint64_t mcus_across = 0;
  std::uint64_t mcus_down = 0;
  std::uint8_t num_components = 0;
  std::vector<Checkpoint> checkpoints;  // ascending; the first at MCU 0, the last behind the last MCU
};

using FileCheckpoints = std::vector<ScanCheckpoints>;  // of all scans, in the file's order

}  // namespace prepixel
