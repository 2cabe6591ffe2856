// Sizes that follow from a frame header. Source: ITU-T T.81, A.1.1 and A.2.
#pragma once

#include <algorithm>
#include <cstdint>

namespace prepixel {

constexpr int ceil_divide(std::int64_t a, std::int64_t b) { return static_cast<int>((a + b - 1) / b); }

// One component's plane.
struct PlaneSize {
  int height = 0;  // true samples
  int width = 0;
  int blocks_down = 0;
  int blocks_across = 0;

  std::uint64_t num_blocks() const {
    return static_cast<std::uint64_t>(blocks_down) * static_cast<std::uint64_t>(blocks_across);
  }
};

struct FrameGeometry {
  int height;
  int width;
  int max_v = 1;  // the largest sampling factors of any component
  int max_h = 1;

  // `components` have members sampling_v and sampling_h, 1 to 4 each.
  template <class Components>
  FrameGeometry(int frame_height, int frame_width, const Components& components)
      : height(frame_height), width(frame_width) {
    for (const auto& component : components) {
      max_v = std::max(max_v, component.sampling_v);
      max_h = std::max(max_h, component.sampling_h);
    }
  }

  // A.1.1: the size of the frame times the relative sampling factor, rounded up; blocks cover it.
  PlaneSize plane(int sampling_v, int sampling_h) const {
    PlaneSize size;
    size.height = ceil_divide(std::int64_t{height} * sampling_v, max_v);
    size.width = ceil_divide(std::int64_t{width} * sampling_h, max_h);
    size.blocks_down = ceil_divide(size.height, 8);
    size.blocks_across = ceil_divide(size.width, 8);
    return size;
  }

  // A.2.3: MCUs of an interleaved scan.
  int mcus_down() const { return ceil_divide(height, 8 * max_v); }
  int mcus_across() const { return ceil_divide(width, 8 * max_h); }
};

}  // namespace prepixel
