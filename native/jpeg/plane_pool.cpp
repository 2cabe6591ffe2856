#include "jpeg/plane_pool.hpp"

#include <limits>
#include <utility>

namespace prepixel {

namespace {

std::size_t bytes_of(const Blocks& blocks) { return blocks.capacity() * sizeof(Block); }

}  // namespace

PlaneStore::Plane PlaneStore::take(std::size_t count) {
  const bool close = fit_ == Fit::close;
  const std::size_t most = close ? count + count / 2 : std::numeric_limits<std::size_t>::max();
  if (const std::unique_lock lock(mutex_, std::try_to_lock); lock && count != 0) {
    auto best = planes_.end();
    for (auto it = planes_.begin(); it != planes_.end(); ++it) {
      const std::size_t capacity = it->capacity();
      const bool better = best == planes_.end() || close || capacity < best->capacity();
      if (capacity >= count && capacity <= most && better) best = it;
    }
    if (best != planes_.end()) {
      Blocks blocks = std::move(*best);
      planes_.erase(best);
      bytes_ -= bytes_of(blocks);
      blocks.resize(count);
      return {std::move(blocks), true};
    }
  }
  return {Blocks(count), false};
}

void PlaneStore::give_back(Blocks&& blocks) noexcept {
  Blocks leaving = std::move(blocks);  // freed where it is not kept
  const std::size_t bytes = bytes_of(leaving);
  if (bytes < least_bytes_ || bytes > most_bytes) return;
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock) return;
  // Never more than the room that the constructor made.
  while (planes_.size() == most_planes || bytes_ + bytes > most_bytes) {
    bytes_ -= bytes_of(planes_.front());
    planes_.erase(planes_.begin());
  }
  planes_.push_back(std::move(leaving));
  bytes_ += bytes;
}

std::size_t PlaneStore::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace prepixel
