// A thread that is joined when it is destroyed, as std::jthread, which some standard libraries lack.
#pragma once

#include <thread>

namespace prepixel {

class JoinedThread {
 public:
  template <class Work>
  explicit JoinedThread(const Work& work) : thread_(work) {}
  JoinedThread(JoinedThread&&) noexcept = default;
  JoinedThread& operator=(JoinedThread&&) = delete;
  ~JoinedThread() {
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::thread thread_;
};

}  // namespace prepixel
