#include <nanobind/nanobind.h>

#include "bindings/bindings.hpp"
#include "index/embedded_index.hpp"
#include "index/jpeg_index.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace prepixel {

namespace {

nb::bytes to_python(const std::vector<std::uint8_t>& bytes) { return nb::bytes(bytes.data(), bytes.size()); }

// Call `make(file)` without the GIL, and give its bytes.
template <class Make>
nb::bytes made_of(nb::handle buffer, const Make& make) {
  const ByteView view(buffer);
  std::vector<std::uint8_t> made;
  {
    const nb::gil_scoped_release unlocked;
    made = retry_after_release([&] { return make(view.bytes()); });
  }
  return to_python(made);
}

nb::dict fields_of(const JpegIndex& index) {
  nb::dict fields;
  fields["file_size"] = index.file_size;
  fields["file_checksum"] = index.file_checksum;
  fields["checked_begin"] = index.checked_begin;
  fields["every"] = index.every;
  fields["progressive"] = index.is_progressive;
  return fields;
}

}  // namespace

void bind_index(nb::module_& module) {
  module.def(
      "index_jpeg",
      [](nb::handle buffer, int every, std::uint64_t max_pixels, std::uint64_t max_memory_bytes, int max_scans) {
        const Limits limits{.max_pixels = max_pixels, .max_memory_bytes = max_memory_bytes, .max_scans = max_scans};
        return made_of(buffer, [&](auto file) { return write_index(index_jpeg(file, limits, every)); });
      },
      "buffer"_a, nb::kw_only(), "every"_a, "max_pixels"_a, "max_memory_bytes"_a, "max_scans"_a,
      "Index a JPEG's scans.");

  module.def(
      "embed_index",
      [](nb::handle buffer, int every, std::uint64_t max_pixels, std::uint64_t max_memory_bytes, int max_scans) {
        const Limits limits{.max_pixels = max_pixels, .max_memory_bytes = max_memory_bytes, .max_scans = max_scans};
        return made_of(buffer, [&](auto file) { return embed_index(file, limits, every); });
      },
      "buffer"_a, nb::kw_only(), "every"_a, "max_pixels"_a, "max_memory_bytes"_a, "max_scans"_a,
      "Put an index into a JPEG.");

  module.def(
      "embedded_index", [](nb::handle buffer) { return made_of(buffer, embedded_index); }, "buffer"_a,
      "Return the index that a JPEG holds; empty where there is none.");

  module.def(
      "without_index", [](nb::handle buffer) { return made_of(buffer, without_index); }, "buffer"_a,
      "Return a JPEG without the index that it holds.");

  module.def(
      "check_index",
      [](nb::handle buffer) {
        const ByteView view(buffer);
        const JpegIndex index = read_index(view.bytes());
        nb::dict fields = fields_of(index);
        nb::list scans;
        for (const ScanCheckpoints& scan : index.scans)
          scans.append(nb::make_tuple(scan.data_begin, scan.data_end, scan.checkpoints.size()));
        fields["scans"] = nb::tuple(scans);
        return fields;
      },
      "index"_a, "Read the bytes of an index whole; give its fields, and of each scan the place and the checkpoints.");
}

}  // namespace prepixel
