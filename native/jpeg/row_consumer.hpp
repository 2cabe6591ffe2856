// What uses the rows of an image while it is decoded.
#pragma once

#include <vector>

#include "jpeg/types.hpp"

namespace prepixel {

// Takes rows of blocks while an image is decoded, so that they are used while they are in the cache, and only some are in
// memory at a time.
class RowConsumer {
 public:
  RowConsumer() = default;
  RowConsumer(const RowConsumer&) = delete;
  RowConsumer& operator=(const RowConsumer&) = delete;
  virtual ~RowConsumer() = default;

  // Called before the first row with the frame, without planes; again where decoding begins again. Return how many rows
  // of blocks of each component to keep: row r of its plane stays until row r + that many is decoded.
  virtual std::vector<int> begin(const Image& frame) = 0;

  // Called when the wanted blocks of all rows of MCUs below `mcu_row_end` are decoded.
  virtual void take(const Image& image, int mcu_row_end) = 0;
};

}  // namespace prepixel
