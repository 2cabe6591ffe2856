#include "jpeg/plane_pool.hpp"

#include <limits>
#include <thread>
#include <utility>

namespace prepixel {

namespace {

std::size_t bytes_of(const Blocks& blocks) { return blocks.capacity() * sizeof(Block); }

}  // namespace

Blocks PlanePool::remove(std::size_t index) noexcept {
  Blocks blocks = std::move(planes_[index]);
  for (std::size_t i = index + 1; i < num_planes_; ++i) planes_[i - 1] = std::move(planes_[i]);
  --num_planes_;
  bytes_ -= bytes_of(blocks);
  return blocks;
}

PlanePool::Plane PlanePool::acquire(std::size_t count) {
  const bool close = fit_ == Fit::close;
  const std::size_t most = close ? count + count / 2 : std::numeric_limits<std::size_t>::max();
  if (const std::unique_lock lock(mutex_, std::try_to_lock); lock && count != 0) {
    std::size_t best = num_planes_;
    for (std::size_t i = 0; i < num_planes_; ++i) {
      const std::size_t capacity = planes_[i].capacity();
      const bool better = best == num_planes_ || close || capacity < planes_[best].capacity();
      if (capacity >= count && capacity <= most && better) best = i;
    }
    if (best != num_planes_) {
      Blocks blocks = remove(best);
      blocks.resize_for_overwrite(count);
      return {std::move(blocks), true};
    }
  }
  return {Blocks(count), false};
}

void PlanePool::release(Blocks&& blocks) noexcept {
  Blocks leaving = std::move(blocks);  // freed unless it is kept
  const std::size_t bytes = bytes_of(leaving);
  if (bytes < least_bytes_ || bytes > most_bytes) return;
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock) return;
  while (num_planes_ == most_planes || bytes_ + bytes > most_bytes) remove(0);
  planes_[num_planes_++] = std::move(leaving);
  bytes_ += bytes;
}

void PlanePool::clear() noexcept {
  for (int attempt = 0; attempt < 100; ++attempt) {
    if (const std::unique_lock lock(mutex_, std::try_to_lock); lock) {
      while (num_planes_ != 0) remove(num_planes_ - 1);
      return;
    }
    std::this_thread::yield();
  }
}

std::size_t PlanePool::bytes() const noexcept {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

PlanePool& pooled_image_planes() noexcept {
  static constinit NeverDestroyed<PlanePool> pool(PlanePool::Fit::any);
  return pool.value;
}

PlanePool& array_planes() noexcept {
  static constinit NeverDestroyed<PlanePool> pool(PlanePool::Fit::close, std::size_t{1} << 16);
  return pool.value;
}

}  // namespace prepixel
