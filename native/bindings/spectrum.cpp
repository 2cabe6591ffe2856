#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <stdexcept>
#include <tuple>

#include "batch/open_images.hpp"
#include "bindings/bindings.hpp"
#include "spectrum/resampler.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace prepixel {

namespace {

using Boxes = nb::ndarray<const double, nb::shape<-1, 4>, nb::c_contig, nb::device::cpu>;
using Flips = nb::ndarray<const bool, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Turns = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Levels = nb::ndarray<const double, nb::shape<-1, 3>, nb::c_contig, nb::device::cpu>;
using Channels = nb::ndarray<const int, nb::shape<-1, 3>, nb::c_contig, nb::device::cpu>;
using PerChannel = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Output = nb::ndarray<nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using Quantized = nb::ndarray<const std::int16_t, nb::shape<-1, -1, 8, 8>, nb::c_contig, nb::device::cpu>;
using Table = nb::ndarray<const std::uint16_t, nb::shape<8, 8>, nb::c_contig, nb::device::cpu>;
using Plane = std::tuple<Quantized, Table, std::tuple<int, int>, int, int>;

Simd simd_of(const std::string& name) {
  if (name == "best") return best_simd();
  for (const Simd level : simd_levels)
    if (name == name_of(level)) return level;
  throw std::invalid_argument("no instruction set " + name + "; there are best, portable, avx2, avx512, neon");
}

Filter filter_of(const std::string& name) {
  if (name == "bilinear") return Filter::bilinear;
  if (name == "bicubic") return Filter::bicubic;
  throw std::invalid_argument("no filter '" + name + "'; there are bilinear, bicubic");
}

Color color_of(const std::string& name) {
  if (name == "gray") return Color::gray;
  if (name == "ycbcr") return Color::ycbcr;
  if (name == "rgb") return Color::rgb;
  if (name == "cmyk") return Color::cmyk;
  if (name == "ycck") return Color::ycck;
  return Color::unknown;
}

SpectrumRequest request_of(const Output& out, const Channels& channels, const PerChannel& factors,
                           const PerChannel& offsets, const std::string& filter, const std::string& simd) {
  if (out.dtype() != nb::dtype<float>() && out.dtype() != nb::dtype<std::int8_t>())
    throw std::invalid_argument("spectra are written as float32 or int8");
  if (out.shape(1) != channels.shape(0) || out.shape(2) > max_grid || out.shape(3) > max_grid)
    throw std::invalid_argument("the output holds other channels than those asked for, or a grid side above " +
                                std::to_string(max_grid));
  SpectrumRequest request;
  request.grid_down = static_cast<int>(out.shape(2));
  request.grid_across = static_cast<int>(out.shape(3));
  request.filter = filter_of(filter);
  for (std::size_t f = 0; f < channels.shape(0); ++f)
    request.channels.push_back({channels(f, 0), channels(f, 1), channels(f, 2)});
  request.factors.assign(factors.data(), factors.data() + factors.size());
  request.offsets.assign(offsets.data(), offsets.data() + offsets.size());
  request.int8 = out.dtype() == nb::dtype<std::int8_t>();
  request.simd = simd_of(simd);
  request.check();
  return request;
}

DecodeOptions options_of(std::uint64_t max_pixels, std::uint64_t max_memory_bytes, int max_scans, bool keep_truncated) {
  return {.limits = {.max_pixels = max_pixels, .max_memory_bytes = max_memory_bytes, .max_scans = max_scans},
          .keep_truncated = keep_truncated};
}

// Buffers of Python objects, held while others read them.
class Buffers {
 public:
  std::span<const std::uint8_t> hold(nb::handle object) {
    views_.push_back(std::make_unique<ByteView>(object));
    return views_.back()->bytes();
  }

  // Paths, as str, and buffers.
  std::vector<Input> inputs(const nb::list& sources) {
    std::vector<Input> inputs;
    inputs.reserve(sources.size());
    for (const nb::handle source : sources) {
      if (PyUnicode_Check(source.ptr())) {
        PyObject* encoded = nullptr;
        if (PyUnicode_FSConverter(source.ptr(), &encoded) == 0) throw nb::python_error();
        const auto path = nb::steal<nb::bytes>(encoded);
        inputs.push_back({{}, std::string(path.c_str(), path.size())});
      } else {
        inputs.push_back({hold(source), std::nullopt});
      }
    }
    return inputs;
  }

 private:
  std::vector<std::unique_ptr<ByteView>> views_;
};

nb::object exception_of(const Outcome& outcome, const Input& input) {
  switch (outcome.status) {
    case Status::faulty: return error_of(*outcome.fault);
    case Status::unreadable: {
      const nb::object reason = nb::module_::import_("os").attr("strerror")(outcome.error_number);
      const std::string path = input.path.value_or("");
      const nb::object name = nb::steal(PyUnicode_DecodeFSDefaultAndSize(path.data(), static_cast<Py_ssize_t>(path.size())));
      return nb::borrow(PyExc_OSError)(outcome.error_number, reason, name);
    }
    case Status::out_of_memory: return nb::borrow(PyExc_MemoryError)();
    case Status::refused: return nb::borrow(PyExc_ValueError)(outcome.message);
    default: return nb::borrow(PyExc_RuntimeError)("internal error of prepixel: " + outcome.message);
  }
}

// What Python is told of a batch: (index, exception) of those that failed, the indices of those that need pixels.
// `input_of(index)` is what was read.
template <class InputOf>
std::pair<nb::list, nb::list> failures_of(const std::vector<Outcome>& outcomes, const InputOf& input_of) {
  nb::list failures, pixels;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    if (outcomes[i].status == Status::needs_pixels) pixels.append(i);
    else if (outcomes[i].status != Status::read) failures.append(nb::make_tuple(i, exception_of(outcomes[i], input_of(i))));
  }
  return {failures, pixels};
}

nb::list sizes_of(const std::vector<Outcome>& outcomes) {
  nb::list sizes;
  for (const Outcome& outcome : outcomes) sizes.append(nb::make_tuple(outcome.height, outcome.width));
  return sizes;
}

Padding padding_of(std::int64_t number) {
  if (number < 0 || number > static_cast<std::int64_t>(Padding::symmetric))
    throw std::invalid_argument("there is no such padding");
  return static_cast<Padding>(number);
}

// What results show of their images: arrays with an entry for each, or None.
struct Crops {
  const std::optional<Boxes>& boxes;
  const std::optional<Flips>& flips;
  const std::optional<Turns>& turns;
  const std::optional<Boxes>& shown;
  const std::optional<Turns>& paddings;           // Padding, as a number
  const std::optional<Levels>& fills;

  void check(std::size_t count) const {
    const auto fit = [count](const auto& array) { return !array || array->shape(0) == count; };
    if (!fit(boxes) || !fit(flips) || !fit(turns) || !fit(shown) || !fit(paddings) || !fit(fills))
      throw std::invalid_argument("boxes, flips, turns and padding must be as many as the images");
  }

  UprightCrop of(std::size_t i) const {
    UprightCrop crop;
    if (boxes) crop.box = Box{(*boxes)(i, 0), (*boxes)(i, 1), (*boxes)(i, 2), (*boxes)(i, 3)};
    if (shown) crop.shown = Box{(*shown)(i, 0), (*shown)(i, 1), (*shown)(i, 2), (*shown)(i, 3)};
    if (paddings) crop.padding = padding_of((*paddings)(i));
    if (fills) crop.fill = {(*fills)(i, 0), (*fills)(i, 1), (*fills)(i, 2)};
    crop.flip = flips && (*flips)(i);
    crop.turns = turns ? static_cast<int>((*turns)(i) & 3) : 0;
    return crop;
  }
};

// OpenImages, and the Python buffers that it reads.
class BoundImages {
 public:
  BoundImages(const nb::list& sources, std::uint64_t max_pixels, std::uint64_t max_memory_bytes, int max_scans,
              int threads) {
    std::vector<Input> inputs = buffers_.inputs(sources);
    const nb::gil_scoped_release unlocked;
    images_ = std::make_unique<OpenImages>(
        std::move(inputs), options_of(max_pixels, max_memory_bytes, max_scans, false).limits, threads);
  }

  nb::tuple opened() const {
    const auto [failures, pixels] =
        failures_of(images_->opened(), [&](std::size_t i) -> const Input& { return images_->input(i); });
    nb::list packed;
    for (std::size_t i = 0; i < images_->opened().size(); ++i)
      if (images_->is_packed(i) && images_->opened()[i].status == Status::read) packed.append(i);
    return nb::make_tuple(failures, pixels, packed, sizes_of(images_->opened()));
  }

  std::span<const std::uint8_t> contents(std::size_t image) const {
    if (image >= images_->opened().size()) throw nb::index_error("there is no such image");
    return images_->bytes(image);
  }

  nb::tuple read(const std::vector<std::size_t>& which, const std::vector<Output>& outputs, const Channels& channels,
                 const PerChannel& factors, const PerChannel& offsets, const std::string& filter,
                 const std::string& simd, const std::optional<Boxes>& boxes, const std::optional<Flips>& flips,
                 const std::optional<Turns>& turns, const std::optional<Boxes>& shown,
                 const std::optional<Turns>& paddings, const std::optional<Levels>& fills, const nb::dict& packs,
                 const std::optional<nb::list>& indexes, bool use_embedded, bool keep_truncated, int threads) const {
    const Crops crops{boxes, flips, turns, shown, paddings, fills};
    crops.check(which.size());
    if (indexes && indexes->size() != which.size()) throw std::invalid_argument("indexes must be as many as the images");
    SpectrumRequest request;
    std::vector<ReadTask> tasks;
    for (const Output& output : outputs) {
      SpectrumRequest here = request_of(output, channels, factors, offsets, filter, simd);
      if (!tasks.empty() && here.int8 != request.int8) throw std::invalid_argument("outputs differ in their dtype");
      request = std::move(here);
      const std::size_t image_bytes = request.num_values() * (request.int8 ? 1 : sizeof(float));
      for (std::size_t i = 0; i < output.shape(0); ++i)
        tasks.push_back({.grid_down = request.grid_down,
                         .grid_across = request.grid_across,
                         .out = static_cast<std::uint8_t*>(output.data()) + i * image_bytes});
    }
    if (tasks.size() != which.size()) throw std::invalid_argument("outputs must have room for as many as the images");
    Buffers held;
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      if (which[i] >= images_->opened().size()) throw nb::index_error("there is no such image");
      tasks[i].image = which[i];
      tasks[i].crop = crops.of(i);
      if (indexes && !(*indexes)[i].is_none()) tasks[i].index = held.hold((*indexes)[i]);
      const nb::int_ key(i);
      if (!packs.contains(key)) continue;
      const auto parts = nb::cast<nb::tuple>(packs[key]);
      if (parts.size() != 2) throw std::invalid_argument("a packed image has two parts");
      tasks[i].header = held.hold(parts[0]);
      tasks[i].payload = held.hold(parts[1]);
    }
    std::vector<Outcome> outcomes;
    {
      const nb::gil_scoped_release unlocked;
      outcomes = images_->read(
          tasks, request,
          {.keep_truncated = keep_truncated, .use_embedded = use_embedded, .num_threads = threads});
    }
    const auto [failures, pixels] =
        failures_of(outcomes, [&](std::size_t i) -> const Input& { return images_->input(which[i]); });
    nb::list missing, unfit;
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      missing.append(outcomes[i].missing_blocks);
      if (outcomes[i].index_refused) unfit.append(i);
    }
    return nb::make_tuple(failures, pixels, missing, unfit);
  }

 private:
  Buffers buffers_;
  std::unique_ptr<OpenImages> images_;
};

using ReadOnlyBytes = nb::ndarray<nb::numpy, const std::uint8_t, nb::ndim<1>>;

nb::object bound_contents(nb::handle images, std::size_t index) {
  const std::span<const std::uint8_t> bytes = nb::cast<const BoundImages&>(images).contents(index);
  if (bytes.empty()) return nb::none();
  return nb::cast(ReadOnlyBytes(bytes.data(), {bytes.size()}, images));
}

nb::tuple bound_read_sizes(const nb::list& sources, std::uint64_t max_pixels, std::uint64_t max_memory_bytes,
                           int max_scans, int threads) {
  Buffers held;
  const std::vector<Input> inputs = held.inputs(sources);
  std::vector<Outcome> outcomes;
  {
    const nb::gil_scoped_release unlocked;
    outcomes = read_sizes(inputs, options_of(max_pixels, max_memory_bytes, max_scans, false).limits, threads);
  }
  const auto [failures, pixels] = failures_of(outcomes, [&](std::size_t i) -> const Input& { return inputs[i]; });
  return nb::make_tuple(failures, pixels, sizes_of(outcomes));
}

void bound_spectrum_of_planes(const std::vector<Plane>& planes, int height, int width, int orientation,
                              const std::string& color, const Output& out, const Channels& channels,
                              const PerChannel& factors, const PerChannel& offsets, const std::string& filter,
                              const std::string& simd, const std::optional<Boxes>& boxes,
                              const std::optional<Flips>& flips, const std::optional<Turns>& turns,
                              const std::optional<Boxes>& shown, const std::optional<Turns>& paddings,
                              const std::optional<Levels>& fills) {
  const SpectrumRequest request = request_of(out, channels, factors, offsets, filter, simd);
  const Crops crops{boxes, flips, turns, shown, paddings, fills};
  crops.check(1);
  if (out.shape(0) != 1) throw std::invalid_argument("planes are those of one image: it has one output");
  ImageView image{height, width, orientation, color_of(color), {}};
  for (const auto& [quantized, table, sampling, plane_height, plane_width] : planes) {
    constexpr std::size_t most_blocks = max_side / 8 + 1;
    if (quantized.shape(0) > most_blocks || quantized.shape(1) > most_blocks)
      throw std::invalid_argument("a plane has a side above " + std::to_string(max_side) + " samples");
    PlaneView plane{quantized.data(), static_cast<int>(quantized.shape(0)), static_cast<int>(quantized.shape(1)),
                    plane_height, plane_width, std::get<0>(sampling), std::get<1>(sampling), {}};
    std::copy_n(table.data(), 64, plane.quantization.begin());
    image.planes.push_back(plane);
  }
  const UprightCrop crop = crops.of(0);
  const nb::gil_scoped_release unlocked;
  retry_after_release([&] { DctResampler(request).make(image, crop, out.data()); });
}

}  // namespace

void bind_spectrum(nb::module_& module) {
  module.def("simd_levels", [] {
    nb::list names;
    for (const Simd level : simd_levels)
      if (has_simd(level)) names.append(name_of(level));
    return nb::tuple(names);
  }, "Name the instruction sets that the spectrum pipeline can use here; all give the same bits.");

  nb::set_leak_warnings(false);  // opened images may live as long as the interpreter
  nb::class_<BoundImages>(module, "OpenImages", "Image files whose bytes are held and whose headers are parsed.")
      .def(nb::init<const nb::list&, std::uint64_t, std::uint64_t, int, int>(), "sources"_a, nb::kw_only(),
           "max_pixels"_a, "max_memory_bytes"_a, "max_scans"_a, "threads"_a)
      .def("opened", &BoundImages::opened, "Return failures, those that need pixels, packed images, upright sizes.")
      .def("contents", bound_contents, "image"_a, "Return what is held of a file; None where nothing is.")
      .def("read", &BoundImages::read, "images"_a, "outputs"_a, nb::kw_only(), "channels"_a, "factors"_a, "offsets"_a,
           "filter"_a, "simd"_a, "boxes"_a.none(), "flips"_a.none(), "turns"_a.none(), "shown"_a.none(),
           "paddings"_a.none(), "fills"_a.none(), "packs"_a, "indexes"_a.none(), "use_embedded"_a,
           "keep_truncated"_a, "threads"_a,
           "Decode and resample images; return failures, those that need pixels, missing blocks, those with an index "
           "that does not fit.");

  module.def("read_sizes", bound_read_sizes, "sources"_a, nb::kw_only(), "max_pixels"_a, "max_memory_bytes"_a,
             "max_scans"_a, "threads"_a, "Read many headers; return failures, those that need pixels, upright sizes.");

  module.def("spectrum_of_planes", bound_spectrum_of_planes, "planes"_a, "height"_a, "width"_a, "orientation"_a,
             "color"_a, "out"_a, nb::kw_only(), "channels"_a, "factors"_a, "offsets"_a, "filter"_a, "simd"_a,
             "boxes"_a.none(), "flips"_a.none(), "turns"_a.none(), "shown"_a.none(), "paddings"_a.none(),
             "fills"_a.none(), "Resample one image's planes of quantized coefficients into one array.");
}

}  // namespace prepixel
