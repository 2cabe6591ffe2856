// Memory that the images of one batch share, so that a batch takes no more on many threads than one image may alone.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace prepixel {

// Whoever would exceed the limit waits until others are done. An image may always run alone: it has been held to the same
// limit before.
class MemoryBudget {
 public:
  explicit MemoryBudget(std::uint64_t limit) : limit_(limit) {}
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;

  // One image's part of the budget, given back at the end.
  class Share {
   public:
    explicit Share(MemoryBudget& budget) : budget_(budget) {}
    ~Share() { give_back(); }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

    // Wait until so many bytes are free, and count them as used. What the share held before is given back first.
    void take(std::uint64_t bytes) {
      give_back();
      std::unique_lock lock(budget_.mutex_);
      budget_.changed_.wait(lock, [&] { return budget_.used_ == 0 || bytes <= budget_.left(); });
      budget_.used_ += bytes;
      bytes_ = bytes;
    }

   private:
    void give_back() noexcept {
      if (bytes_ == 0) return;
      {
        const std::lock_guard lock(budget_.mutex_);
        budget_.used_ -= bytes_;
      }
      bytes_ = 0;
      budget_.changed_.notify_all();
    }

    MemoryBudget& budget_;
    std::uint64_t bytes_ = 0;
  };

 private:
  std::uint64_t left() const { return limit_ > used_ ? limit_ - used_ : 0; }

  std::uint64_t limit_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t used_ = 0;
};

}  // namespace prepixel
