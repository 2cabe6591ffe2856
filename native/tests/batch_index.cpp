// Batches read by indexes, under the sanitizers and on threads: an index that fits changes no value and is used; one that is
// stale, damaged or of another file costs time alone and is told; an embedded one is found.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "batch/open_images.hpp"
#include "index/embedded_index.hpp"
#include "index/jpeg_index.hpp"
#include "jpeg/encoder.hpp"
#include "tests/low_frequencies.hpp"

namespace {

using namespace prepixel;

using Bytes = std::vector<std::uint8_t>;

void expect(bool promise, const std::string& text) {
  if (promise) return;
  std::fprintf(stderr, "broken promise: %s\n", text.c_str());
  std::abort();
}

constexpr int height = 83, width = 107;
const Box box{33, 41, 29, 37};

Bytes jpeg(unsigned seed, int restart_interval) {
  std::mt19937 random(seed);
  const auto plane = [&](int down, int across) {
    std::vector<std::int16_t> values(64 * static_cast<std::size_t>(down * across));
    for (std::int16_t& value : values)
      if (random() % 3 == 0) value = static_cast<std::int16_t>(static_cast<int>(random() % 61) - 30);
    return values;
  };
  const std::vector<std::int16_t> luma = plane(11, 14), blue = plane(6, 7), red = plane(6, 7);
  EncoderInput image;
  image.height = height;
  image.width = width;
  image.restart_interval = restart_interval;
  image.planes = {{1, 2, 2, 11, 14, luma.data(), {}}, {2, 1, 1, 6, 7, blue.data(), {}}, {3, 1, 1, 6, 7, red.data(), {}}};
  for (EncoderPlane& one : image.planes) one.quantization.fill(7);
  return encode(image, {});
}

struct Read {
  std::vector<float> values;
  std::vector<Outcome> outcomes;
};

Read read(const std::vector<Bytes>& files, const std::vector<Bytes>& indexes, std::optional<Box> of, ReadOptions options,
          const Limits& limits = {}) {
  const SpectrumRequest request = low_frequencies(2);
  std::vector<Input> inputs;
  for (const Bytes& file : files) inputs.push_back({file, {}});
  const OpenImages images(inputs, limits, options.num_threads);
  Read result{std::vector<float>(files.size() * request.num_values()), {}};
  std::vector<ReadTask> tasks;
  for (std::size_t i = 0; i < files.size(); ++i) {
    tasks.push_back({.image = i, .crop = {.box = of, .flip = i % 2 == 1, .turns = static_cast<int>(i)},
                     .grid_down = request.grid_down, .grid_across = request.grid_across,
                     .out = result.values.data() + i * request.num_values()});
    if (i < indexes.size()) tasks[i].index = indexes[i];
  }
  options.least_row_bytes = 0;  // resampled while they are decoded
  result.outcomes = images.read(tasks, request, options);
  std::vector<float> by_planes(result.values.size());
  for (std::size_t i = 0; i < files.size(); ++i) tasks[i].out = by_planes.data() + i * request.num_values();
  options.least_row_bytes = ~std::size_t{0};
  images.read(tasks, request, options);
  expect(result.values == by_planes, "an image that is resampled while it is decoded has the same bits");
  for (const Outcome& outcome : result.outcomes) expect(outcome.status == Status::read, "the image is read");
  return result;
}

auto refusals(const Read& result) {
  return std::ranges::count_if(result.outcomes, [](const Outcome& outcome) { return outcome.index_refused; });
}

std::vector<Bytes> files_of(std::size_t count) {
  std::vector<Bytes> files;
  for (unsigned i = 0; i < count; ++i) files.push_back(jpeg(i, static_cast<int>(i % 3 * 5)));
  return files;
}

std::vector<Bytes> indexes_of(const std::vector<Bytes>& files) {
  std::vector<Bytes> indexes;
  for (std::size_t i = 0; i < files.size(); ++i)
    indexes.push_back(write_index(index_jpeg(files[i], {}, static_cast<int>(i % 4))));
  return indexes;
}

// All DC predictors but the first row's raised by one: consistent, so a crop below the first row cannot know, and shows that
// the index was used.
Bytes raised(const Bytes& file) {
  JpegIndex index = index_jpeg(file, {}, 0);
  for (Checkpoint& point : index.scans[0].checkpoints)
    if (point.mcu != 0) point.dc_predictors[0] = static_cast<std::int16_t>(point.dc_predictors[0] + 9);
  return write_index(index);
}

void an_index_is_used_and_changes_nothing() {
  const std::vector<Bytes> files = files_of(24), indexes = indexes_of(files);
  for (const std::optional<Box> of : {std::optional<Box>(box), std::optional<Box>(), std::optional<Box>(Box{0, 0, height, width})})
    for (const int threads : {1, 3}) {
      const Read plain = read(files, {}, of, {.num_threads = threads});
      const Read indexed = read(files, indexes, of, {.num_threads = threads});
      expect(plain.values == indexed.values, "an index changes no value");
      expect(refusals(indexed) == 0 && refusals(plain) == 0, "a true index fits");
    }
  const std::vector<Bytes> one = {jpeg(1, 0)};
  const Read plain = read(one, {}, box, {.num_threads = 1}), forged = read(one, {raised(one[0])}, box, {.num_threads = 1});
  expect(plain.values != forged.values && refusals(forged) == 0, "an index is used: a forged one shows it");
  const Read whole = read(one, {raised(one[0])}, {}, {.num_threads = 1});
  expect(whole.values == read(one, {}, {}, {.num_threads = 1}).values, "without a box an index is of no use");
  const Read kept = read(one, {raised(one[0])}, box, {.keep_truncated = true, .num_threads = 1});
  expect(kept.values == plain.values, "what reads truncated files uses no index");
}

void an_index_that_does_not_fit_costs_time_alone() {
  const std::vector<Bytes> files = files_of(24);
  std::vector<Bytes> indexes = indexes_of(files);
  const Read plain = read(files, {}, box, {.num_threads = 1});
  std::mt19937 random(20020);
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (i % 3 == 0) indexes[i] = indexes[(i + 4) % files.size()];           // of another file
    if (i % 3 == 1) indexes[i][random() % indexes[i].size()] ^= 1;          // damaged
    if (i % 3 == 2) indexes[i].resize(1 + random() % (indexes[i].size() - 1));
  }
  for (const int threads : {1, 4}) {
    const Read indexed = read(files, indexes, box, {.num_threads = threads});
    expect(indexed.values == plain.values, "the files are read without their indexes");
    expect(refusals(indexed) == static_cast<std::ptrdiff_t>(files.size()), "and each is told");
  }
  std::ptrdiff_t told = 0;
  for (int round = 0; round < 400; ++round) {                               // one checkpoint wrong, checksums valid
    const std::size_t at = random() % files.size();
    JpegIndex index = index_jpeg(files[at], {}, 2);
    std::vector<Checkpoint>& points = index.scans[0].checkpoints;
    Checkpoint& point = points[1 + random() % (points.size() - 1)];
    if (round % 2 == 0) point.bit += 1 + random() % 64;
    else point.dc_predictors[random() % 3] = static_cast<std::int16_t>(random());
    const Read indexed = read({files[at]}, {write_index(index)}, box, {.num_threads = 1});
    // Behind a restart marker nothing is left of where a run began, so there a forged beginning may go unseen.
    expect(at % 3 != 0 || indexed.values == read({files[at]}, {}, box, {.num_threads = 1}).values,
           "what is decoded of a run that does not end as the index says is not kept");
    told += refusals(indexed);
  }
  expect(told > 40, "a wrong checkpoint that a crop needs is told");        // few crops need it
}

void embedded_indexes_are_found() {
  std::vector<Bytes> files = files_of(6), held;
  for (const Bytes& file : files) held.push_back(embed_index(file, {}, 2));
  const Read plain = read(files, {}, box, {.num_threads = 2});
  const Read found = read(held, {}, box, {.use_embedded = true, .num_threads = 2});
  expect(found.values == plain.values && refusals(found) == 0, "a file may hold its index");
  for (Bytes& file : held) file.insert(file.end() - 2, 0x55);               // changed since: its index is stale
  const Read stale = read(held, {}, box, {.use_embedded = true, .num_threads = 2});
  expect(stale.values == plain.values && refusals(stale) == 6, "an embedded index that is stale is told");
  expect(refusals(read(held, {}, box, {.num_threads = 2})) == 0, "and not looked for where it is not asked for");
  const Read given = read(held, indexes_of(held), box, {.use_embedded = true, .num_threads = 2});
  expect(given.values == plain.values && refusals(given) == 0, "an index that is given goes before an embedded one");
}

// However large indexes are, their checkpoints stay within the limit on memory.
void large_indexes() {
  const std::vector<Bytes> files = files_of(4);
  const Limits tight{.max_memory_bytes = 1 << 17};
  std::vector<Bytes> indexes = indexes_of(files);
  for (Bytes& index : indexes) index.resize(tight.max_memory_bytes / 8);    // of zeros, behind a true beginning
  const Read plain = read(files, {}, box, {.num_threads = 1}), indexed = read(files, indexes, box, {.num_threads = 4}, tight);
  expect(plain.values == indexed.values && refusals(indexed) == 4, "an index above the limit is not read");
}

}  // namespace

int main() {
  an_index_is_used_and_changes_nothing();
  an_index_that_does_not_fit_costs_time_alone();
  embedded_indexes_are_found();
  large_indexes();
  std::puts("batch_index: used, refused, embedded, large");
}
