// Memory of coefficient planes: zeroed arrays, and a retry when an allocation fails.
#pragma once

#include <cstddef>
#include <cstring>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace prepixel {

// Free the planes and Huffman lookup tables that are kept for reuse. Thread-safe; those that another thread acquires or
// releases at the same time may stay.
void release_memory() noexcept;

// Bytes of planes that release_memory() would free.
std::size_t reusable_bytes() noexcept;

// Return zeroed memory, aligned to a cache line. It comes straight from calloc, so pages that no scan reaches stay
// untouched: a header that promises a large image costs address space, not memory. Where calloc fails, release_memory()
// is called and the allocation is tried once more. std::bad_alloc: both failed.
void* allocate_zeroed(std::size_t count, std::size_t element_bytes);
void free_zeroed(void* elements) noexcept;

// Run `work`, and once more after release_memory() if it runs out of memory.
template <class Work>
auto retry_after_release(const Work& work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    release_memory();
  }
  return work();
}

// An array of initially zero elements.
template <class T>
class ZeroedArray {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  constexpr ZeroedArray() = default;
  explicit ZeroedArray(std::size_t count)
      : elements_(count == 0 ? nullptr : static_cast<T*>(allocate_zeroed(count, sizeof(T)))),
        size_(count),
        capacity_(count) {}
  ZeroedArray(const ZeroedArray& other) : ZeroedArray(other.size_) {
    if (size_ != 0) std::memcpy(static_cast<void*>(elements_), other.elements_, size_ * sizeof(T));
  }
  ZeroedArray(ZeroedArray&& other) noexcept
      : elements_(std::exchange(other.elements_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  ZeroedArray& operator=(ZeroedArray other) noexcept {
    std::swap(elements_, other.elements_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  constexpr ~ZeroedArray() {
    if (elements_ != nullptr) free_zeroed(elements_);
  }

  // Change the size within the capacity. Elements are not zeroed.
  // std::bad_alloc: the capacity is too small.
  void resize_for_overwrite(std::size_t count) {
    if (count > capacity_) throw std::bad_alloc();
    size_ = count;
  }

  std::size_t size() const { return size_; }
  std::size_t capacity() const { return capacity_; }
  bool empty() const { return size_ == 0; }
  T* data() { return elements_; }
  const T* data() const { return elements_; }
  T& operator[](std::size_t i) { return elements_[i]; }
  const T& operator[](std::size_t i) const { return elements_[i]; }
  T* begin() { return elements_; }
  T* end() { return elements_ + size_; }
  const T* begin() const { return elements_; }
  const T* end() const { return elements_ + size_; }

 private:
  T* elements_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

// A static object that outlives every thread: it is never destroyed, and its construction allocates nothing.
template <class T>
union NeverDestroyed {
  template <class... Arguments>
  constexpr explicit NeverDestroyed(Arguments... arguments) : value(arguments...) {}
  constexpr ~NeverDestroyed() {}
  T value;
};

}  // namespace prepixel
