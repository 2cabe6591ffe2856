// Free list of coefficient planes. Recycling avoids page faults, which can cost as much as decoding, since malloc
// returns large freed blocks to the system.
#pragma once

#include <array>
#include <cstddef>
#include <mutex>

#include "jpeg/types.hpp"

namespace prepixel {

// Thread-safe. On contention it falls back to malloc, so that a forked child never waits for a lock that it inherited
// held.
class PlanePool {
 public:
  enum class Fit : unsigned char {
    any,    // the smallest plane that is large enough
    close,  // the newest that is at most 1.5 times as large: for arrays that the caller may keep
  };
  static constexpr std::size_t most_bytes = std::size_t{64} << 20;  // of all planes in the pool

  // Planes of fewer than `least_bytes` are not kept: malloc is as fast.
  constexpr explicit PlanePool(Fit fit, std::size_t least_bytes = 1) : fit_(fit), least_bytes_(least_bytes) {}

  struct Plane {
    Blocks blocks;
    bool used;  // holds values of an earlier image; otherwise zeros
  };
  Plane acquire(std::size_t count);

  // Return a plane to the pool. The oldest are freed if there are too many.
  void release(Blocks&& blocks) noexcept;

  // Free all planes.
  void clear() noexcept;

  std::size_t bytes() const noexcept;

 private:
  static constexpr std::size_t most_planes = 64;
  Blocks remove(std::size_t index) noexcept;

  Fit fit_;
  std::size_t least_bytes_;
  mutable std::mutex mutex_;
  std::array<Blocks, most_planes> planes_;  // oldest first
  std::size_t num_planes_ = 0;
  std::size_t bytes_ = 0;
};

// The pools of the process: for images within one call, and for arrays that callers hold.
PlanePool& pooled_image_planes() noexcept;
PlanePool& array_planes() noexcept;

}  // namespace prepixel
