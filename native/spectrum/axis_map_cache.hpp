// The axis maps of an image and of those before it: components and images of the same geometry share them.
#pragma once

#include <memory>
#include <vector>

#include "spectrum/axis_map.hpp"

namespace prepixel {

class AxisMapCache {
 public:
  AxisMapCache(Filter filter, const Kernels& kernels) : filter_(filter), kernels_(kernels) {}

  // Forget maps of earlier images if there are many; those of the image that begins stay until the next call.
  void begin_image() {
    if (entries_.size() > most_entries) entries_.clear();
  }

  // Return the map of a crop to `grid` blocks of at least `frequencies` frequencies.
  const AxisMap& get(const AxisCrop& crop, int grid, int frequencies) {
    for (const Entry& entry : entries_)
      if (entry.crop == crop && entry.grid == grid && entry.frequencies >= frequencies) return *entry.map;
    auto map = std::make_unique<AxisMap>(crop, grid, frequencies, filter_, kernels_);
    return *entries_.emplace_back(Entry{crop, grid, frequencies, std::move(map)}).map;
  }

 private:
  static constexpr std::size_t most_entries = 12;
  struct Entry {
    AxisCrop crop;
    int grid;
    int frequencies;
    std::unique_ptr<AxisMap> map;
  };

  Filter filter_;
  const Kernels& kernels_;
  std::vector<Entry> entries_;
};

}  // namespace prepixel
