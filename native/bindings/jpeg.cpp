#include "bindings/bindings.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <exception>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "jpeg/encoder.hpp"
#include "jpeg/orientation.hpp"
#include "jpeg/plane_pool.hpp"
#include "jpeg/decoder.hpp"
#include "jpeg/bandlimit.hpp"
#include "jpeg/names.hpp"
#include "jpeg/region.hpp"
#include "index/embedded_index.hpp"
#include "index/jpeg_index.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace prepixel {

namespace {

const char* name_of(Metadata metadata) {
  switch (metadata) {
    case Metadata::all: return "all";
    case Metadata::icc: return "icc";
    case Metadata::none: break;
  }
  return "none";
}

const char* name_of(Fault kind) {
  switch (kind) {
    case Fault::malformed: return "MalformedJpeg";
    case Fault::damaged: return "DamagedJpeg";
    case Fault::truncated: return "TruncatedJpeg";
    case Fault::unsupported: return "UnsupportedJpeg";
    case Fault::pack: return "MalformedPack";
    case Fault::index: return "MalformedIndex";
    case Fault::limit: break;
  }
  return "JpegLimitExceeded";
}

// An array that owns what it was made from; nothing is copied.
template <class Element, class Owned, class... Sizes>
nb::object adopt(std::unique_ptr<Owned> owned, Element* elements, Sizes... sizes) {
  nb::capsule owner(owned.get(), [](void* pointer) noexcept { delete static_cast<Owned*>(pointer); });
  owned.release();
  return nb::ndarray<nb::numpy, Element>(elements, {static_cast<std::size_t>(sizes)...}, owner).cast();
}

nb::dict to_python(const Header& header) {
  nb::dict fields;
  fields["height"] = header.height;
  fields["width"] = header.width;
  fields["color"] = name_of(header.color);
  fields["process"] = name_of(header.process);
  fields["precision"] = header.precision;
  fields["orientation"] = header.orientation;
  return fields;
}

// A plane that goes back to the pool when its array does.
struct OwnedPlane {
  Blocks blocks;
  explicit OwnedPlane(Blocks&& owned) : blocks(std::move(owned)) {}
  ~OwnedPlane() { array_planes().release(std::move(blocks)); }
  OwnedPlane(const OwnedPlane&) = delete;
  OwnedPlane& operator=(const OwnedPlane&) = delete;
};

nb::dict to_python(Component&& component) {
  nb::dict fields;
  fields["identifier"] = static_cast<int>(component.identifier);
  fields["sampling"] = nb::make_tuple(component.sampling_v, component.sampling_h);
  fields["height"] = component.height;
  fields["width"] = component.width;
  auto plane = std::make_unique<OwnedPlane>(std::move(component.blocks));
  std::int16_t* coefficients = plane->blocks.empty() ? nullptr : plane->blocks.data()->data();
  fields["quantized"] = adopt(std::move(plane), coefficients, component.blocks_down, component.blocks_across, 8, 8);
  auto table = std::make_unique<std::array<std::uint16_t, 64>>(component.quantization);
  std::uint16_t* steps = table->data();
  fields["quantization"] = adopt(std::move(table), steps, 8, 8);
  return fields;
}

nb::dict to_python(Image&& image) {
  nb::dict fields = to_python(static_cast<const Header&>(image));
  nb::list components;
  for (Component& component : image.components) components.append(to_python(std::move(component)));
  fields["components"] = nb::tuple(components);
  fields["restart_interval"] = image.restart_interval;
  fields["num_scans"] = image.num_scans;
  fields["missing_blocks"] = image.missing_blocks;
  nb::list warnings;
  for (const std::string& warning : image.warnings) warnings.append(nb::str(warning.c_str()));
  fields["warnings"] = nb::tuple(warnings);
  fields["index_refused"] = image.checkpoints_refused;
  return fields;
}

Limits limits_of(std::uint64_t max_pixels, std::uint64_t max_memory_bytes, int max_scans) {
  return {.max_pixels = max_pixels, .max_memory_bytes = max_memory_bytes, .max_scans = max_scans};
}

using Quantized = nb::ndarray<const std::int16_t, nb::shape<-1, -1, 8, 8>, nb::c_contig, nb::device::cpu>;
using Table = nb::ndarray<const std::uint16_t, nb::shape<8, 8>, nb::c_contig, nb::device::cpu>;
using PlaneOfPython = std::tuple<int, std::pair<int, int>, Quantized, Table>;

template <class Name>
Name named(const std::string& name, std::initializer_list<Name> all) {
  for (const Name candidate : all) {
    if (name == name_of(candidate)) return candidate;
  }
  throw std::invalid_argument("there is no " + name);
}

nb::bytes to_python(const Bytes& bytes) { return nb::bytes(bytes.data(), bytes.size()); }

nb::bytes bound_encode(const std::vector<PlaneOfPython>& planes, int height, int width, const std::string& color,
                       int orientation, int restart_interval, int restart_rows,
                       const std::vector<std::pair<int, nb::bytes>>& segments, std::uint64_t max_memory_bytes) {
  EncoderInput image;
  image.height = height;
  image.width = width;
  image.color =
      named(color, {Color::gray, Color::ycbcr, Color::rgb, Color::cmyk, Color::ycck, Color::unknown});
  image.orientation = orientation;
  image.restart_interval = restart_interval;
  image.restart_rows = restart_rows;
  for (const auto& [identifier, sampling, quantized, table] : planes) {
    constexpr std::size_t most_blocks = 65536 / 8;
    if (quantized.shape(0) > most_blocks || quantized.shape(1) > most_blocks || identifier < 0 || identifier > 255)
      throw std::invalid_argument("a plane has more than 8192 blocks a side, or an identifier outside 0 to 255");
    EncoderPlane& plane = image.planes.emplace_back();
    plane.identifier = static_cast<std::uint8_t>(identifier);
    std::tie(plane.sampling_v, plane.sampling_h) = sampling;
    plane.blocks_down = static_cast<int>(quantized.shape(0));
    plane.blocks_across = static_cast<int>(quantized.shape(1));
    plane.quantized = quantized.data();
    std::copy_n(table.data(), 64, plane.quantization.begin());
  }
  for (const auto& [code, contents] : segments) {
    if (code < 0 || code > 255) throw std::invalid_argument("a marker is 0 to 255");
    image.segments.push_back({static_cast<std::uint8_t>(code),
                              {static_cast<const std::uint8_t*>(contents.data()), contents.size()}});
  }
  Bytes file;
  {
    const nb::gil_scoped_release unlocked;
    const Limits limits{.max_memory_bytes = max_memory_bytes};
    file = retry_after_release([&] { return encode(image, limits); });
  }
  return to_python(file);
}

nb::bytes bound_bandlimit(nb::handle buffer, const std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>& kept,
                     std::optional<int> restart_interval, int restart_rows, const std::string& metadata,
                     std::uint64_t max_pixels, std::uint64_t max_memory_bytes, int max_scans) {
  const BandlimitRequest request{.kept = {std::get<0>(kept), std::get<1>(kept), std::get<2>(kept)},
                            .restart_interval = restart_interval,
                            .restart_rows = restart_rows,
                            .metadata = named(metadata, {Metadata::all, Metadata::icc, Metadata::none})};
  const ByteView view(buffer);
  Bytes file;
  {
    const nb::gil_scoped_release unlocked;
    const Limits limits = limits_of(max_pixels, max_memory_bytes, max_scans);
    file = retry_after_release([&] { return bandlimit(view.bytes(), request, limits); });
  }
  return to_python(file);
}

void translate(const std::exception_ptr& pointer, void* /*payload*/) {
  try {
    std::rethrow_exception(pointer);
  } catch (const JpegFault& fault) {
    const nb::object error = error_of(fault);
    PyErr_SetObject(error.type().ptr(), error.ptr());
  } catch (const std::invalid_argument&) {  // what the caller asked for; nanobind raises ValueError
    throw;
  } catch (const std::bad_alloc&) {  // MemoryError
    throw;
  } catch (const std::logic_error& error) {
    PyErr_Format(PyExc_RuntimeError, "internal error of prepixel: %s", error.what());
  }
}

}  // namespace

nb::object error_of(const JpegFault& fault) {
  const nb::object offset = fault.byte_offset == no_offset ? nb::none() : nb::object(nb::int_(fault.byte_offset));
  return nb::module_::import_("prepixel.errors")
      .attr(name_of(fault.kind))(fault.what(), "byte_offset"_a = offset, "hint"_a = fault.hint);
}

nb::dict fields_of(const Header& header) { return to_python(header); }

nb::dict fields_of(Image&& image) { return to_python(std::move(image)); }

void bind_jpeg(nb::module_& module) {
  nb::register_exception_translator(translate);

  module.def("release_memory", release_memory,
             "Free the coefficient planes and Huffman tables that are kept for the next files.");

  module.def("reusable_bytes", reusable_bytes, "Return the bytes of planes that release_memory() would free.");

  module.def(
      "read_header",
      [](nb::handle buffer, std::uint64_t max_pixels, std::uint64_t max_memory_bytes, int max_scans) {
        const ByteView view(buffer);
        Header header;
        {
          const nb::gil_scoped_release unlocked;
          const Limits limits = limits_of(max_pixels, max_memory_bytes, max_scans);
          header = retry_after_release([&] { return read_header(view.bytes(), limits); });
        }
        return to_python(header);
      },
      "buffer"_a, nb::kw_only(), "max_pixels"_a, "max_memory_bytes"_a, "max_scans"_a,
      "Read a JPEG's markers up to its first scan.");

  module.def(
      "decode",
      [](nb::handle buffer, std::uint64_t max_pixels, std::uint64_t max_memory_bytes, int max_scans,
         bool keep_truncated, const std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>& kept,
         const std::optional<std::tuple<int, int, int, int>>& region, nb::handle index,
         bool use_embedded, int threads) {
        const ByteView view(buffer), index_view(index);
        Image image;
        std::optional<Region> kept_region;
        {
          const nb::gil_scoped_release unlocked;
          DecodeOptions options{.limits = limits_of(max_pixels, max_memory_bytes, max_scans),
                                      .keep_truncated = keep_truncated,
                                      .kept = {std::get<0>(kept), std::get<1>(kept), std::get<2>(kept)},
                                      .num_threads = threads,
                                      .planes = &array_planes()};
          if (region) {
            const Region wanted{std::get<0>(*region), std::get<1>(*region), std::get<2>(*region), std::get<3>(*region)};
            options.regions = [&kept_region, wanted](const Image& frame) {
              kept_region = aligned(wanted, frame);
              return blocks_of(*kept_region, frame);
            };
            options.holds_regions = true;
          }
          image = retry_after_release([&] {
            const std::vector<std::uint8_t> embedded =
                use_embedded && !keep_truncated ? embedded_index(view.bytes()) : std::vector<std::uint8_t>();
            Image decoded =
                decode_indexed(view.bytes(), embedded.empty() ? index_view.bytes() : embedded, options);
            if (!kept_region) return decoded;
            Image part = crop(std::move(decoded), *kept_region);
            for (Component& component : decoded.components) array_planes().release(std::move(component.blocks));
            return part;
          });
        }
        nb::dict fields = to_python(std::move(image));
        if (kept_region)
          fields["region"] =
              nb::make_tuple(kept_region->top, kept_region->left, kept_region->height, kept_region->width);
        return fields;
      },
      "buffer"_a, nb::kw_only(), "max_pixels"_a, "max_memory_bytes"_a, "max_scans"_a, "keep_truncated"_a, "kept"_a,
      "region"_a.none(), "index"_a, "use_embedded"_a, "threads"_a, "Decode a JPEG to its quantized coefficients.");

  module.def("encode", bound_encode, "planes"_a, "height"_a, "width"_a, nb::kw_only(), "color"_a, "orientation"_a,
             "restart_interval"_a, "restart_rows"_a, "segments"_a, "max_memory_bytes"_a,
             "Encode quantized coefficients as a JPEG.");

  module.def("bandlimit", bound_bandlimit, "buffer"_a, nb::kw_only(), "kept"_a, "restart_interval"_a.none(), "restart_rows"_a,
             "metadata"_a, "max_pixels"_a, "max_memory_bytes"_a, "max_scans"_a,
             "Encode a JPEG again with chosen frequencies alone, and read it back.");

  module.def(
      "orientation",
      [](const std::vector<nb::bytes>& segments) {
        Orientation orientation;
        for (const nb::bytes& contents : segments) {
          read_orientation({static_cast<const std::uint8_t*>(contents.data()), contents.size()}, orientation);
        }
        return orientation.value();
      },
      "segments"_a, "Return the orientation that the contents of APP1 segments say.");

  module.def(
      "header_segments",
      [](nb::handle buffer, std::uint64_t max_pixels, std::uint64_t max_memory_bytes, int max_scans) {
        const ByteView view(buffer);
        read_header(view.bytes(), limits_of(max_pixels, max_memory_bytes, max_scans));  // its faults are this one's
        nb::list segments;
        for (const KeptSegment& segment : header_segments(view.bytes())) {
          segments.append(
              nb::make_tuple(static_cast<int>(segment.code), nb::bytes(segment.contents.data(), segment.contents.size())));
        }
        return segments;
      },
      "buffer"_a, nb::kw_only(), "max_pixels"_a, "max_memory_bytes"_a, "max_scans"_a,
      "List the APPn and COM segments in front of a JPEG's first scan.");
}

}  // namespace prepixel
