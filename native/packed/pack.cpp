#include "packed/pack.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "jpeg/bandlimit.hpp"
#include "packed/format.hpp"
#include "packed/packed_image.hpp"

namespace prepixel {

namespace {

template <class Number>
void put(Bytes& bytes, Number number) {
  std::array<std::uint8_t, sizeof(Number)> raw;
  std::memcpy(raw.data(), &number, sizeof(Number));
  bytes.insert(bytes.end(), raw.begin(), raw.end());
}

template <class Number>
void put_at(Bytes& bytes, std::size_t at, Number number) {
  std::memcpy(bytes.data() + at, &number, sizeof(Number));
}

bool fits(std::int16_t value) { return value >= -128 && value <= 127; }

void put_sparse(const std::vector<std::int16_t>& values, std::size_t across, Bytes& payload) {
  for (std::size_t row = 0; row < values.size(); row += across) {
    for (std::size_t begin = 0; begin < across; begin += 8) {
      unsigned bits = 0;
      for (std::size_t i = begin; i < std::min(across, begin + 8); ++i)
        bits |= static_cast<unsigned>(values[row + i] != 0 && fits(values[row + i])) << (i - begin);
      payload.push_back(static_cast<std::uint8_t>(bits));
    }
  }
  for (const std::int16_t value : values)
    if (value != 0 && fits(value)) payload.push_back(static_cast<std::uint8_t>(value & 0xFF));
}

// One plane of values, row by row, to a short coding that is read fast.
void put_plane(const std::vector<std::int16_t>& values, std::size_t across, bool as_differences, Bytes& header,
               Bytes& payload) {
  std::vector<std::int16_t> differences(values.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    differences[i] = static_cast<std::int16_t>(values[i] - (i % across == 0 ? 0 : values[i - 1]));
  if (std::all_of(values.begin(), values.end(), [](std::int16_t value) { return value == 0; })) {
    put(header, Coding::zero);
    return;
  }
  const std::vector<std::int16_t>& coded = as_differences ? differences : values;
  const auto escapes = coded.size() - static_cast<std::size_t>(std::count_if(coded.begin(), coded.end(), fits));
  if (escapes * escape_bytes > coded.size()) {
    put(header, Coding::wide);
    for (const std::int16_t value : differences) payload.push_back(static_cast<std::uint8_t>(value & 0xFF));
    for (const std::int16_t value : differences) payload.push_back(static_cast<std::uint8_t>(value >> 8 & 0xFF));
    return;
  }
  const auto in_bytes = static_cast<std::size_t>(
      std::count_if(coded.begin(), coded.end(), [](std::int16_t value) { return value != 0 && fits(value); }));
  const bool sparse = !as_differences && 2 * in_bytes < coded.size();
  put(header, as_differences ? Coding::delta_escaped : sparse ? Coding::sparse : escapes != 0 ? Coding::escaped : Coding::bytes);
  if (as_differences || sparse || escapes != 0) put(header, static_cast<std::uint32_t>(escapes));
  if (sparse) {
    put(header, static_cast<std::uint32_t>(in_bytes));
    put_sparse(coded, across, payload);
  } else {
    for (const std::int16_t value : coded) payload.push_back(fits(value) ? static_cast<std::uint8_t>(value & 0xFF) : 0);
  }
  for (std::size_t i = 0; i < coded.size(); ++i) {
    if (fits(coded[i])) continue;
    put(payload, static_cast<std::uint32_t>(i));
    put(payload, coded[i]);
  }
}

void put_component(const Component& component, const Component* before, std::uint64_t kept, Bytes& header,
                   Bytes& payload) {
  put(header, component.identifier);
  put(header, static_cast<std::uint8_t>(component.sampling_v << 4 | component.sampling_h));
  put(header, kept);
  const auto& table = component.quantization;
  if (before != nullptr && before->quantization == table) {
    put(header, TableCoding::as_before);
  } else if (*std::max_element(table.begin(), table.end()) < 256) {
    put(header, TableCoding::narrow);
    for (const std::uint16_t step : table) put(header, static_cast<std::uint8_t>(step));
  } else {
    put(header, TableCoding::wide);
    for (const std::uint16_t step : table) put(header, step);
  }
  std::vector<std::int16_t> values(component.blocks.size());
  for (std::size_t k = 0; k < 64; ++k) {
    if ((kept >> k & 1) == 0) continue;
    for (std::size_t block = 0; block < values.size(); ++block) values[block] = component.blocks[block][k];
    put_plane(values, static_cast<std::size_t>(component.blocks_across), k == 0, header, payload);
  }
}

}  // namespace

PackParts pack(const Image& image, const std::array<std::uint64_t, 3>& kept, const Limits& limits) {
  PackParts parts;
  Bytes& header = parts.header;
  header.assign(pack_magic.begin(), pack_magic.end());
  header.resize(pack_envelope_bytes + 4);         // filled in below
  put(header, static_cast<std::uint32_t>(image.height));
  put(header, static_cast<std::uint32_t>(image.width));
  put(header, static_cast<std::uint8_t>(image.color));
  put(header, static_cast<std::uint8_t>(image.orientation));
  put(header, static_cast<std::uint8_t>(image.components.size()));
  put(header, std::uint8_t{0});
  for (std::size_t i = 0; i < image.components.size(); ++i)
    put_component(image.components[i], i == 0 ? nullptr : &image.components[i - 1], kept_of(i, image.color, kept),
                  header, parts.payload);
  if (parts.payload.size() > 0xFFFFFFFFu)
    throw JpegFault(Fault::limit, no_offset, "the packed coefficients take more than 4 GiB", "Cut the image in pieces");
  put_at(header, 8, static_cast<std::uint32_t>(parts.payload.size()));
  put_at(header, 12, static_cast<std::uint32_t>(header.size()));
  put_at(header, pack_envelope_bytes, static_cast<std::uint32_t>(parts.payload.size()));
  put_at(header, 16, pack_checksum(header, parts.payload));

  std::uint64_t plane_bytes = 0;
  for (const Component& component : image.components) plane_bytes += component.blocks.size() * sizeof(Block);
  check_memory("a packed image with its planes, once to pack and once to verify,",
               2 * plane_bytes + parts.payload.size(), limits);
  const Image again = unpack(read_pack(header, parts.payload, limits));
  bool same = again.height == image.height && again.width == image.width && again.color == image.color &&
              again.orientation == image.orientation && again.components.size() == image.components.size();
  for (std::size_t i = 0; same && i < image.components.size(); ++i)
    same = same_where_kept(image.components[i], again.components[i], kept_of(i, image.color, kept));
  if (!same) throw std::logic_error("a packed image does not read back as it was written; please report this file");
  return parts;
}

}  // namespace prepixel
