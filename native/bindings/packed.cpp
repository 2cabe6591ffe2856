#include <nanobind/stl/tuple.h>

#include <array>
#include <tuple>

#include "bindings/bindings.hpp"
#include "packed/pack.hpp"
#include "packed/packed_image.hpp"
#include "jpeg/decoder.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace prepixel {

namespace {

Limits limits_of(std::uint64_t max_pixels, std::uint64_t max_memory_bytes, int max_scans) {
  return {.max_pixels = max_pixels, .max_memory_bytes = max_memory_bytes, .max_scans = max_scans};
}

nb::bytes to_python(const Bytes& bytes) { return nb::bytes(bytes.data(), bytes.size()); }

nb::tuple bound_pack(nb::handle buffer, const std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>& kept,
                     std::uint64_t max_pixels, std::uint64_t max_memory_bytes, int max_scans) {
  const ByteView view(buffer);
  PackParts parts;
  {
    const nb::gil_scoped_release unlocked;
    const Limits limits = limits_of(max_pixels, max_memory_bytes, max_scans);
    parts = retry_after_release([&] {
      return pack(*PooledImage(view.bytes(), {.limits = limits}),
                  {std::get<0>(kept), std::get<1>(kept), std::get<2>(kept)}, limits);
    });
  }
  return nb::make_tuple(to_python(parts.header), to_python(parts.payload));
}

nb::dict bound_unpack(nb::handle header, nb::handle payload, std::uint64_t max_pixels, std::uint64_t max_memory_bytes,
                      int max_scans) {
  const ByteView head(header), rest(payload);
  Image image;
  {
    const nb::gil_scoped_release unlocked;
    const Limits limits = limits_of(max_pixels, max_memory_bytes, max_scans);
    image = retry_after_release([&] {
      const PackedImage packed = read_pack(head.bytes(), rest.bytes(), limits);
      std::uint64_t bytes = packed.payload_bytes;
      for (const PackedComponent& component : packed.components) bytes += component.header.num_blocks() * sizeof(Block);
      check_memory("a packed image's payload and planes,", bytes, limits);
      return unpack(packed);
    });
  }
  return fields_of(std::move(image));
}

nb::dict bound_read_pack_header(nb::handle header, std::uint64_t max_pixels, std::uint64_t max_memory_bytes,
                                int max_scans) {
  const ByteView view(header);
  const PackedImage packed = read_pack_header(view.bytes(), limits_of(max_pixels, max_memory_bytes, max_scans));
  nb::dict fields = fields_of(packed.header);
  nb::list kept;
  for (const PackedComponent& component : packed.components) kept.append(component.kept);
  fields["kept"] = nb::tuple(kept);
  return fields;
}

}  // namespace

void bind_pack(nb::module_& module) {
  module.def("pack", bound_pack, "buffer"_a, nb::kw_only(), "kept"_a, "max_pixels"_a, "max_memory_bytes"_a,
             "max_scans"_a, "Pack a JPEG's chosen frequencies, and read them back; give header and payload.");
  module.def("unpack", bound_unpack, "header"_a, "payload"_a, nb::kw_only(), "max_pixels"_a, "max_memory_bytes"_a,
             "max_scans"_a, "Read a packed image's quantized coefficients.");
  module.def("read_pack_header", bound_read_pack_header, "header"_a, nb::kw_only(), "max_pixels"_a,
             "max_memory_bytes"_a, "max_scans"_a, "Read a packed image's header, and which frequencies it keeps.");
}

}  // namespace prepixel
