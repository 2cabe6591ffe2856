// Memory for intermediate results, reused from image to image.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <memory>
#include <new>

namespace prepixel {

constexpr std::size_t round_up_8(std::size_t count) { return (count + 7) / 8 * 8; }

// Floats, aligned to a cache line. The buffer grows and never shrinks.
class WorkBuffer {
 public:
  // Ensure room for `count` floats and return them. New memory is zero; old values are lost when the buffer grows.
  float* reserve(std::size_t count) {
    if (count > capacity_) {
      if (count > std::numeric_limits<std::size_t>::max() / sizeof(float)) throw std::bad_alloc();
      floats_.reset();
      capacity_ = 0;
      floats_.reset(static_cast<float*>(::operator new[](count * sizeof(float), alignment)));
      std::fill_n(floats_.get(), count, 0.0f);
      capacity_ = count;
    }
    return floats_.get();
  }

  float* data() { return floats_.get(); }
  const float* data() const { return floats_.get(); }

 private:
  static constexpr std::align_val_t alignment{64};
  struct Free {
    void operator()(float* floats) const { ::operator delete[](floats, alignment); }
  };

  std::unique_ptr<float[], Free> floats_;
  std::size_t capacity_ = 0;
};

}  // namespace prepixel
