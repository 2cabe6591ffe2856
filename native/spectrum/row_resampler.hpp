// The spectrum of an image that is resampled while it is decoded: rows of blocks are used while they are in the cache.
//
// The result is that of DctResampler::make() on the decoded image, bit for bit: the same sums in the same order.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "jpeg/decoder.hpp"
#include "spectrum/resampler.hpp"

namespace prepixel {

class RowResampler final : public RowConsumer {
 public:
  // Plan one image; `resampler`, whose request holds, and `out` outlive this. Null where rows cannot be used as they come:
  // luma takes fewer than `least_bytes`, the image or the box is invalid, the box shows padding, or some plane is
  // resampled along its rows first.
  static std::unique_ptr<RowResampler> plan(DctResampler& resampler, const ParsedHeader& header, const UprightCrop& crop,
                                            void* out, std::size_t least_bytes);

  std::vector<int> begin(const Image& frame) override;
  void take(const Image& image, int mcu_row_end) override;

  // Write what is left when all rows were taken.
  void finish();

 private:
  // One component, strip after strip.
  struct Plane {
    std::size_t component;
    std::vector<PlaneChannel> channels;
    PlanePlan plan;
    std::vector<Strip> strips;
    std::vector<BlockSpan> spans;                 // the input blocks of each strip, relative to the map's first
    int rows_in_mcu;
    SeparablePass* pass = nullptr;
    std::optional<BlockLines> lines = {};
    std::size_t strip = 0;                        // at work
    int next = 0;                                 // its next input block
  };

  RowResampler(DctResampler& resampler, ImageView view, StoredView stored, void* out);
  static void begin_strip(Plane& plane);
  static int ring_rows(const Plane& plane);

  DctResampler& resampler_;
  ImageView view_;
  StoredView stored_;
  ScaledOutput scaled_;
  std::optional<ChannelSums> sums_;               // of RGB images
  std::vector<Plane> planes_;
};

}  // namespace prepixel
