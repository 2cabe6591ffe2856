// Images spread over threads, each image's exceptions turned into its outcome.
#pragma once

#include <algorithm>
#include <atomic>
#include <new>
#include <span>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "batch/batch.hpp"
#include "jpeg/joined_thread.hpp"

namespace prepixel {

// Run one image's work; whatever it throws becomes its outcome. An exception that left a helper thread would end the
// process, so nothing gets out, not even of the handlers, which copy text and may themselves run out of memory.
template <class Work>
void attempt(Outcome& outcome, const Work& work) noexcept {
  try {
    try {
      outcome.status = retry_after_release([&] { return work(); });
    } catch (JpegFault& fault) {
      outcome.status = Status::faulty;
      outcome.fault = std::move(fault);
    } catch (const std::system_error& error) {
      outcome.status = Status::unreadable;
      outcome.error_number = error.code().value();
    } catch (const std::invalid_argument& error) {
      outcome.status = Status::refused;
      outcome.message = error.what();
    } catch (const std::bad_alloc&) {
      outcome.status = Status::out_of_memory;
    } catch (const std::exception& error) {
      outcome.status = Status::internal;
      outcome.message = error.what();
    }
  } catch (const std::bad_alloc&) {
    outcome.status = Status::out_of_memory;
  } catch (...) {
    outcome.status = Status::internal;
  }
}

// Call `work(index, worker)` for each index of `order`; it returns the status of `outcomes[index]`. Each thread makes its
// worker within its first image, so that a worker for which there is no memory is that image's outcome. The calling
// thread is one of the threads. 0 threads: one per CPU. Where the system has no memory for further threads, those that
// there are do the work; where an image runs out of memory, what is kept for reuse is released and the image tried once
// more.
template <class MakeWorker, class Work>
void on_threads(std::span<const std::size_t> order, int num_threads, std::span<Outcome> outcomes, const MakeWorker& make,
                const Work& work) {
  const std::size_t count = order.size();
  const std::size_t wanted = num_threads > 0 ? static_cast<std::size_t>(num_threads)
                                             : std::max<std::size_t>(1, std::thread::hardware_concurrency());
  std::atomic<std::size_t> next{0};
  const auto drain = [&]() noexcept {
    decltype(make()) worker;
    for (std::size_t at = next++; at < count; at = next++) {
      attempt(outcomes[order[at]], [&] {
        if (!worker) worker = make();
        return work(order[at], *worker);
      });
    }
  };
  std::vector<JoinedThread> helpers;
  try {
    helpers.reserve(std::min(wanted, std::max<std::size_t>(count, 1)) - 1);
    while (helpers.size() + 1 < std::min(wanted, count)) helpers.emplace_back(drain);
  } catch (const std::system_error&) {
    // The system gives no more threads; those that there are do the work.
  } catch (const std::bad_alloc&) {
  }
  drain();
}

}  // namespace prepixel
