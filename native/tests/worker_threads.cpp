// What a worker throws becomes the outcome of its image alone: a fault of the file, a refusal of what the caller asked for,
// the system's error, no memory, or a fault of this library; never std::terminate, and never another one of these.
#include "batch/worker_threads.hpp"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <string>

namespace {

using namespace prepixel;

void expect(bool promise, const std::string& text) {
  if (promise) return;
  std::fprintf(stderr, "broken promise: %s\n", text.c_str());
  std::abort();
}

constexpr std::size_t num_kinds = 8;

Status throw_kind(std::size_t kind) {
  switch (kind) {
    case 1: throw JpegFault(Fault::damaged, 7, "bits that begin no code");
    case 2: throw std::system_error(2, std::generic_category());
    case 3: throw std::invalid_argument("an empty box");
    case 4: throw std::bad_alloc();
    case 5: throw std::logic_error("a pack does not read back");
    case 6: throw std::runtime_error("something else");
    case 7: throw 3;
    default: return Status::needs_pixels;
  }
}

void check(std::size_t kind, const Outcome& outcome) {
  constexpr Status wanted[num_kinds] = {Status::needs_pixels,  Status::faulty,   Status::unreadable, Status::refused,
                                        Status::out_of_memory, Status::internal, Status::internal,   Status::internal};
  expect(outcome.status == wanted[kind], "the outcome of kind " + std::to_string(kind));
  expect(outcome.fault.has_value() == (kind == 1), "a fault belongs to a faulty file");
  if (kind == 1) expect(outcome.fault->byte_offset == 7, "the fault says where");
  if (kind == 2) expect(outcome.error_number == 2, "the system's number is kept");
  if (kind == 3) expect(outcome.message == "an empty box", "a refusal says why");
  if (kind == 5) expect(outcome.message == "a pack does not read back", "a fault of ours says what");
}

}  // namespace

int main() {
  constexpr std::size_t count = 40 * num_kinds;
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (const int threads : {1, 3}) {
    std::vector<Outcome> outcomes(count);
    on_threads(
        order, threads, outcomes, [] { return std::make_unique<int>(0); },
        [](std::size_t i, int& images) {
          ++images;
          return throw_kind(i % num_kinds);
        });
    for (std::size_t i = 0; i < count; ++i) check(i % num_kinds, outcomes[i]);

    // A worker that cannot be made is the outcome of the image it is made for, and is made for the next again.
    std::vector<Outcome> without(count);
    std::atomic<std::size_t> made{0};
    on_threads(
        order, threads, without,
        [&]() -> std::unique_ptr<int> {
          if (made++ < 8) throw std::bad_alloc();
          return std::make_unique<int>(0);
        },
        [](std::size_t, int&) { return Status::read; });
    const auto failed = std::ranges::count(without, Status::out_of_memory, &Outcome::status);
    expect(threads == 1 ? failed == 4 : failed <= 4, "an image is tried twice: eight failures are four images' at most");
    expect(std::ranges::count(without, Status::read, &Outcome::status) == static_cast<std::ptrdiff_t>(count) - failed,
           "the other images are read");
  }
  std::printf("worker_threads: %zu images of %zu kinds\n", count, num_kinds);
}
