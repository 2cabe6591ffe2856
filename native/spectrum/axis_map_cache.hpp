// The axis maps of one image: components of the same geometry share them.
#pragma once

#include <memory>
#include <vector>

#include "spectrum/axis_map.hpp"

namespace prepixel {

class AxisMapCache {
 public:
  AxisMapCache(Filter filter, const Kernels& kernels) : filter_(filter), kernels_(kernels) {}

  // Return the map of a crop to `grid` blocks of at least `frequencies` frequencies. It lives until clear().
  const AxisMap& get(const AxisCrop& crop, int grid, int frequencies) {
    for (const Entry& entry : entries_)
      if (entry.crop == crop && entry.grid == grid && entry.frequencies >= frequencies) return *entry.map;
    auto map = std::make_unique<AxisMap>(crop, grid, frequencies, filter_, kernels_);
    return *entries_.emplace_back(Entry{crop, grid, frequencies, std::move(map)}).map;
  }

  void clear() { entries_.clear(); }

 private:
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
