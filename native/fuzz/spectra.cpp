// libFuzzer target: spectra of any bytes, with crops, flips, turns and padding drawn from the last ones, and band-limiting. A crop,
// resampled while it is decoded into rows that hold values of the image before, must equal the same crop of the whole image,
// and the same crop read by the file's index. Seeds: .ci/fuzz.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "batch/open_images.hpp"
#include "index/jpeg_index.hpp"
#include "tests/low_frequencies.hpp"
#include "jpeg/bandlimit.hpp"

namespace {

constexpr prepixel::Limits limits{.max_pixels = 1u << 16, .max_memory_bytes = 1u << 24, .max_scans = 50};

// The file's index; empty where it cannot be indexed.
std::vector<std::uint8_t> index_of(std::span<const std::uint8_t> file, int every) {
  try {
    return prepixel::write_index(prepixel::index_jpeg(file, limits, every));
  } catch (const prepixel::JpegFault&) {
    return {};
  }
}

void compare(std::span<const std::uint8_t> file, bool keep, double share, int drawn) {
  const prepixel::SpectrumRequest request = prepixel::low_frequencies(2);
  const prepixel::OpenImages images({{.bytes = file, .path = {}}}, limits, 1);
  const prepixel::Outcome& opened = images.opened()[0];
  if (opened.status != prepixel::Status::read || images.is_packed(0)) return;
  const double height = opened.height, width = opened.width;
  prepixel::UprightCrop crop{
      .box = prepixel::Box{(1 - share) * height / 2, (1 - share) * width, share * height, share * width},
      .flip = share < 0.5,
      .turns = drawn % 4,
      .padding = static_cast<prepixel::Padding>(drawn / 4 % 5),
      .fill = {200, 31, 77}};
  if (crop.padding != prepixel::Padding::none) {
    crop.box->top -= drawn / 20 * height / 16;
    crop.box->left += width / 3;
    if (drawn % 2 == 1) crop.shown = prepixel::Box{height / 4, width / 2, height / 3, width / 2};
  }
  const prepixel::DecodeOptions options{.limits = limits, .keep_truncated = keep};
  const std::size_t count = request.num_values();
  std::vector<float> values(3 * count);
  std::vector<prepixel::ReadTask> tasks(2, {.crop = crop,
                                            .grid_down = request.grid_down,
                                            .grid_across = request.grid_across,
                                            .out = values.data()});
  tasks[1].out = values.data() + count;
  const std::vector<std::uint8_t> index = index_of(file, static_cast<int>(share * 64) % 5);
  tasks[1].index = index;
  const auto outcomes = images.read(
      tasks, request, {.keep_truncated = keep, .use_embedded = true, .num_threads = 1, .least_row_bytes = 0});
  if (outcomes[1].index_refused) std::abort();
  if (outcomes[0].status != outcomes[1].status) std::abort();
  if (outcomes[0].status != prepixel::Status::read) return;
  if (std::memcmp(values.data(), values.data() + count, count * sizeof(float)) != 0) std::abort();
  try {
    const prepixel::Image image = prepixel::decode(file, options);
    prepixel::DctResampler(request).make(prepixel::view_of(image), crop, values.data() + 2 * count);
  } catch (const prepixel::JpegFault&) {
    return;  // damage outside the crop
  }
  if (std::memcmp(values.data(), values.data() + 2 * count, count * sizeof(float)) != 0) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 4) return 0;
  const std::uint8_t drawn = data[size - 3];
  const double share = (1.0 + data[size - 4]) / 256;
  for (const bool keep : {false, true}) compare({data, size}, keep, share, drawn);
  try {
    const prepixel::BandlimitRequest request{
        .kept = {0x0F0Fu | std::uint64_t{1} << drawn % 64, 0x0101, 1}, .restart_interval = {}, .restart_rows = drawn % 3};
    prepixel::bandlimit({data, size}, request, limits);
  } catch (const prepixel::JpegFault&) {
  }
  return 0;
}
