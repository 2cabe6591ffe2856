// Batches under the sanitizers, on threads: good, cut, missing and foreign files; files that change between the moment they
// are opened and the moment they are read; buffers that another thread changes; two threads that read one batch.
#include "batch/batch.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "batch/open_images.hpp"
#include "jpeg/encoder.hpp"
#include "packed/pack.hpp"
#include "packed/packed_image.hpp"
#include "tests/low_frequencies.hpp"

namespace {

using namespace prepixel;

void expect(bool promise, const std::string& text) {
  if (promise) return;
  std::fprintf(stderr, "broken promise: %s\n", text.c_str());
  std::abort();
}

constexpr int height = 41, width = 59;

Bytes jpeg(unsigned seed) {
  std::mt19937 random(seed);
  const auto plane = [&](int down, int across) {
    std::vector<std::int16_t> values(64 * static_cast<std::size_t>(down * across));
    for (std::int16_t& value : values)
      if (random() % 3 == 0) value = static_cast<std::int16_t>(static_cast<int>(random() % 61) - 30);
    return values;
  };
  const std::vector<std::int16_t> luma = plane(6, 8), blue = plane(3, 4), red = plane(3, 4);
  EncoderInput image;
  image.height = height;
  image.width = width;
  image.restart_rows = 1;
  image.planes = {{1, 2, 2, 6, 8, luma.data(), {}}, {2, 1, 1, 3, 4, blue.data(), {}}, {3, 1, 1, 3, 4, red.data(), {}}};
  for (EncoderPlane& one : image.planes) one.quantization.fill(7);
  return encode(image, {});
}

struct Read {
  std::vector<Outcome> outcomes;
  std::vector<std::vector<float>> values;
  bool operator==(const Read& other) const { return values == other.values; }
};

// Image i flipped where i is odd and turned by i quarters, on a grid of its own, of the box if there is one.
Read read(const OpenImages& images, std::optional<Box> box, int threads, const std::vector<PackParts>& packs = {}) {
  const SpectrumRequest request = low_frequencies(2);
  Read result;
  std::vector<ReadTask> tasks;
  for (std::size_t i = 0; i < images.opened().size(); ++i) {
    const int down = 2 + static_cast<int>(i % 3), across = 5 - static_cast<int>(i % 2);
    result.values.emplace_back(request.channels.size() * static_cast<std::size_t>(down * across));
    tasks.push_back({.image = i, .crop = {.box = box, .flip = i % 2 == 1, .turns = static_cast<int>(i)},
                     .grid_down = down, .grid_across = across});
    if (i < packs.size()) tasks.back().header = packs[i].header, tasks.back().payload = packs[i].payload;
  }
  for (std::size_t i = 0; i < tasks.size(); ++i) tasks[i].out = result.values[i].data();
  result.outcomes = images.read(tasks, request, {.num_threads = threads});
  return result;
}

std::vector<Input> inputs_of(const std::vector<Bytes>& files) {
  std::vector<Input> inputs;
  for (const Bytes& file : files) inputs.push_back({file, {}});
  return inputs;
}

bool all_read(const std::vector<Outcome>& outcomes) {
  return std::ranges::all_of(outcomes, [](const Outcome& outcome) { return outcome.status == Status::read; });
}

void statuses() {
  const Bytes good = jpeg(1);
  const Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(good.size()) / 2);
  const Bytes beheaded(good.begin(), good.begin() + 100), foreign = {'P', 'N', 'G'};
  std::vector<Input> inputs;
  for (int i = 0; i < 40; ++i)
    inputs.push_back({i % 5 == 2 ? beheaded : i % 5 == 3 ? cut : i % 5 == 4 ? foreign : good, {}});
  inputs.push_back({{}, "no such file"});
  Read first;
  for (const int threads : {1, 2, 8, 1000, 0}) {
    const OpenImages images(inputs, {}, threads);
    const std::vector<Outcome>& opened = images.opened();
    expect(opened[0].status == Status::read && opened[0].height == height && opened[0].width == width, "a size is read");
    expect(opened[2].status == Status::faulty && opened[2].fault.has_value(), "a file without its scan is faulty");
    expect(images.bytes(2).empty(), "nothing is held of a file that cannot be read");
    expect(opened[3].status == Status::read, "a cut file has a header");
    expect(opened[4].status == Status::needs_pixels && images.bytes(4).size() == 3, "what is no JPEG needs pixels");
    expect(opened.back().status == Status::unreadable && opened.back().error_number == 2, "no file, no bytes");
    const Read result = read(images, Box{1, 2, 35, 24}, threads);
    expect(result.outcomes[1].status == Status::read && result.outcomes[1].height == height, "a good file is read");
    expect(result.outcomes[2].status == Status::faulty, "a file without its scan stays faulty");
    expect(result.outcomes[3].status == Status::faulty && result.outcomes[3].fault->kind == Fault::truncated,
           "a cut file is truncated");
    expect(result.outcomes[4].status == Status::needs_pixels, "what is no JPEG still needs pixels");
    expect(result.outcomes.back().status == Status::unreadable, "a missing file stays so");
    if (first.values.empty()) first = result;
    expect(first == result, "threads change nothing");
    for (const Box& wrong : {Box{0, 0, 9, 60}, Box{-1, 0, 9, 9}, Box{0, 0, 0, 9}}) {
      const Read refused = read(images, wrong, threads);
      expect(refused.outcomes[0].status == Status::refused && !refused.outcomes[0].message.empty(), "a bad box is refused");
    }
    expect(read_sizes(inputs, {}, threads)[0].width == width, "a size alone is read");
  }
  const OpenImages none({}, {}, 0);
  expect(read(none, {}, 0).outcomes.empty(), "no file, no outcome");
  std::vector<float> values(4);
  const OpenImages one({{good, {}}}, {}, 1);
  const ReadTask no_grid{.image = 0, .grid_down = 0, .grid_across = 3, .out = values.data()};
  expect(one.read({&no_grid, 1}, low_frequencies(2), {})[0].status == Status::refused, "an empty grid is refused");
}

// A packed image's header is read when it is opened; its payload comes with the task.
void packed_images() {
  const std::vector<Bytes> files = {jpeg(1), jpeg(2)};
  std::vector<PackParts> packs;
  std::vector<Bytes> headers;
  for (const Bytes& file : files) packs.push_back(pack(decode(file, {}), {~0ull, ~0ull, ~0ull}, {}));
  for (const PackParts& parts : packs) headers.push_back(parts.header);
  const OpenImages images(inputs_of(headers), {}, 2);
  expect(images.is_packed(0) && images.opened()[1].width == width, "a packed image is known by its header");
  const Read by_pack = read(images, Box{3, 4, 20, 30}, 2, packs);
  expect(all_read(by_pack.outcomes) && by_pack == read(OpenImages(inputs_of(files), {}, 2), Box{3, 4, 20, 30}, 1),
         "packed images give what their JPEGs give");
  const Read without = read(images, {}, 2);
  expect(without.outcomes[0].status == Status::faulty && without.outcomes[0].fault->kind == Fault::pack,
         "without its payload a packed image is malformed");
}

// Files of a folder of their own, which is removed at the end.
class Folder {
 public:
  explicit Folder(const std::vector<Bytes>& files)
      : path_(std::filesystem::temp_directory_path() / ("prepixel_batch_" + std::to_string(std::random_device()()))) {
    std::filesystem::create_directory(path_);
    for (std::size_t i = 0; i < files.size(); ++i) write(i, files[i]);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string file(std::size_t i) const { return (path_ / std::to_string(i)).string(); }
  void write(std::size_t i, const Bytes& bytes) const {
    std::ofstream out(file(i), std::ios::binary | std::ios::trunc);
    out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  void clear() const {
    for (const auto& entry : std::filesystem::directory_iterator(path_)) std::filesystem::remove(entry.path());
  }
  std::vector<Input> inputs(std::size_t count) const {
    std::vector<Input> inputs;
    for (std::size_t i = 0; i < count; ++i) inputs.push_back({{}, file(i)});
    return inputs;
  }

 private:
  std::filesystem::path path_;
};

void files_that_change() {
  std::vector<Bytes> files;
  for (unsigned seed = 0; seed < 24; ++seed) files.push_back(jpeg(seed));
  const std::size_t count = files.size(), last = count - 1;
  const std::optional<Box> box = Box{3, 4, 20, 30};
  const Read expected = read(OpenImages(inputs_of(files), {}, 1), box, 1);
  const Folder folder(files);
  {
    const OpenImages images(folder.inputs(count), {}, 2);
    folder.write(0, {});
    folder.write(1, {0xFF, 0xD8, 0xFF});
    folder.clear();
    const Read result = read(images, box, 2);
    expect(all_read(result.outcomes) && result == expected, "held files may change and vanish");
  }
  for (std::size_t i = 0; i < count; ++i) folder.write(i, files[i]);
  const Limits tight{.max_memory_bytes = std::uint64_t{(6 * 8 + 2 * 3 * 4) * sizeof(Block)}};  // the planes of one image
  {
    const OpenImages images(folder.inputs(count), tight, 1);
    expect(!images.bytes(0).empty() && images.bytes(last).empty(), "no more is held than the limit allows");
    const Read result = read(images, box, 2);
    expect(all_read(result.outcomes) && result == expected, "what is not held is read again");
  }
  {
    const OpenImages images(folder.inputs(count), tight, 1);
    Bytes taller = files[last];
    const std::array<std::uint8_t, 2> start_of_frame = {0xFF, 0xC0};
    const auto frame = std::search(taller.begin(), taller.end(), start_of_frame.begin(), start_of_frame.end());
    frame[6] = height + 1;
    folder.write(last, taller);
    const Read result = read(images, box, 2);
    expect(result.outcomes[last].status == Status::faulty && result.outcomes[last].fault->kind == Fault::malformed,
           "a file of another size than was told is refused");
  }
}

// The worst that can be done to buffers after their headers were parsed.
void buffers_that_change() {
  std::mt19937 random(20020);
  const Bytes good = jpeg(1);
  for (int round = 0; round < 300; ++round) {
    Bytes file = good;
    const OpenImages images({{file, {}}}, {}, 1);
    if (round < 3) std::ranges::fill(file, static_cast<std::uint8_t>(round == 0 ? 0 : round == 1 ? 0xFF : 0xD9));
    else for (int k = 0; k < 1 << round % 9; ++k) file[random() % file.size()] = static_cast<std::uint8_t>(random());
    const Read result = read(images, Box{3, 4, 20, 30}, 1);
    expect(result.outcomes[0].status == Status::read || result.outcomes[0].status == Status::faulty,
           "a changed buffer is read or faulty");
    expect(images.opened()[0].height == height, "its size stays");
  }
}

void two_readers() {
  const std::vector<Bytes> files = {jpeg(1), jpeg(2), jpeg(3)};
  const OpenImages images(inputs_of(files), {}, 2);
  const Read expected = read(images, Box{3, 4, 20, 30}, 1);
  std::array<Read, 2> results;
  {
    std::vector<std::jthread> readers;
    for (Read& result : results) readers.emplace_back([&] { result = read(images, Box{3, 4, 20, 30}, 2); });
  }
  for (const Read& result : results) expect(result == expected, "two threads may read one batch");
}

}  // namespace

int main() {
  statuses();
  packed_images();
  files_that_change();
  buffers_that_change();
  two_readers();
  std::puts("batch: statuses, packed images, files and buffers that change, two readers");
}
