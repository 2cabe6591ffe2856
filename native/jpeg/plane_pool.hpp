// Planes that are done with, kept for images to come. Fresh pages cost up to as much as decoding into them, and malloc
// gives large blocks that are freed back to the system sooner or later, as their sizes happen to follow each other.
#pragma once

#include <cstddef>
#include <mutex>
#include <vector>

#include "jpeg/types.hpp"

namespace prepixel {

// May be used by many threads: one that finds another at it goes to malloc, so that a process that forks meanwhile
// finds no lock held in the child that it would wait for.
class PlaneStore {
 public:
  enum class Fit : unsigned char {
    any,    // the smallest plane that holds what is asked for
    close,  // the newest that is larger by a half at most: for arrays that somebody may keep
  };
  static constexpr std::size_t most_bytes = std::size_t{64} << 20;  // of all planes kept

  // Planes of fewer than `least_bytes` are not kept: malloc is as quick.
  explicit PlaneStore(Fit fit, std::size_t least_bytes = 1) : fit_(fit), least_bytes_(least_bytes) {
    planes_.reserve(most_planes);
  }

  struct Plane {
    Blocks blocks;
    bool used;  // holds anything; else zeros
  };
  Plane take(std::size_t count);

  // Keep a plane, and let the oldest go where there are too many.
  void give_back(Blocks&& blocks) noexcept;

  std::size_t bytes() const;  // kept now

 private:
  static constexpr std::size_t most_planes = 64;

  Fit fit_;
  std::size_t least_bytes_;
  mutable std::mutex mutex_;
  std::vector<Blocks> planes_;  // oldest first
  std::size_t bytes_ = 0;
};

}  // namespace prepixel
