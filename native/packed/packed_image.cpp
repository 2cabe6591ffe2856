#include "packed/packed_image.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include "packed/format.hpp"
#include "simd/pack_kernels.hpp"

namespace prepixel {

namespace {

// Four components of wide tables, all frequencies sparse.
constexpr std::size_t most_header_bytes = pack_fixed_bytes + 4 * (1 + 1 + 8 + 1 + 64 * 2 + 64 * (1 + 4 + 4));
constexpr const char* hint = "Fetch or pack the file again";

[[noreturn]] void malformed(std::size_t offset, const std::string& what) {
  throw JpegFault(Fault::pack, offset, what, hint);
}

// Little-endian numbers, one after the other, none behind the end.
class Cursor {
 public:
  Cursor(std::span<const std::uint8_t> bytes, std::size_t at) : bytes_(bytes), at_(at) {}

  template <class Number>
  Number take() {
    if (bytes_.size() < at_ || bytes_.size() - at_ < sizeof(Number))
      malformed(bytes_.size(), "the packed image ends in its header");
    Number number;
    std::memcpy(&number, bytes_.data() + at_, sizeof(Number));
    at_ += sizeof(Number);
    return number;
  }
  std::size_t at() const { return at_; }

 private:
  std::span<const std::uint8_t> bytes_;
  std::size_t at_;
};

void measure(PackedImage& packed, const Limits& limits) {
  std::vector<ComponentHeader> headers;
  for (const PackedComponent& component : packed.components) headers.push_back(component.header);
  const FrameGeometry geometry(packed.header.height, packed.header.width, headers);
  std::uint64_t blocks = 0;
  for (PackedComponent& component : packed.components) {
    ComponentHeader& header = component.header;
    static_cast<PlaneSize&>(header) = geometry.plane(header.sampling_v, header.sampling_h);
    blocks += header.num_blocks();
  }
  if (blocks * sizeof(Block) > limits.max_memory_bytes)
    throw JpegFault(Fault::limit, no_offset,
                    "the planes take " + std::to_string(blocks * sizeof(Block)) + " bytes, more than the limit of " +
                        std::to_string(limits.max_memory_bytes),
                    "Raise Limits.max_memory_bytes if you trust the file");
}

void read_size(PackedImage& packed, Cursor& cursor, const Limits& limits) {
  const std::size_t at = cursor.at();
  const auto height = cursor.take<std::uint32_t>(), width = cursor.take<std::uint32_t>();
  if (height < 1 || height > 65535 || width < 1 || width > 65535)
    malformed(at, "an image of " + std::to_string(height) + " x " + std::to_string(width) + " pixels; sides are 1 to 65535");
  if (std::uint64_t{height} * width > limits.max_pixels)
    throw JpegFault(Fault::limit, at,
                    std::to_string(height) + " x " + std::to_string(width) + " pixels are more than the limit of " +
                        std::to_string(limits.max_pixels),
                    "Raise Limits.max_pixels if you trust the file");
  packed.header.height = static_cast<int>(height);
  packed.header.width = static_cast<int>(width);
}

void read_table(ComponentHeader& component, const ComponentHeader* before, Cursor& cursor) {
  const std::size_t at = cursor.at();
  switch (static_cast<TableCoding>(cursor.take<std::uint8_t>())) {
    case TableCoding::as_before:
      if (before == nullptr) malformed(at, "the first component's table is said to be that of the one before");
      component.quantization = before->quantization;
      return;
    case TableCoding::narrow:
      for (std::uint16_t& step : component.quantization) step = cursor.take<std::uint8_t>();
      return;
    case TableCoding::wide:
      for (std::uint16_t& step : component.quantization) step = cursor.take<std::uint16_t>();
      return;
  }
  malformed(at, "there is no such coding of a quantization table");
}

void read_component(PackedComponent& component, const ComponentHeader* before, Cursor& cursor) {
  ComponentHeader& header = component.header;
  header.identifier = cursor.take<std::uint8_t>();
  const std::size_t at = cursor.at();
  const auto sampling = cursor.take<std::uint8_t>();
  header.sampling_v = sampling >> 4;
  header.sampling_h = sampling & 15;
  if (header.sampling_v < 1 || header.sampling_v > 4 || header.sampling_h < 1 || header.sampling_h > 4)
    malformed(at, "sampling factors are 1 to 4");
  component.kept = cursor.take<std::uint64_t>();
  read_table(header, before, cursor);
  for (std::size_t k = 0; k < 64; ++k) {
    if ((component.kept >> k & 1) == 0) continue;
    PackedPlane& plane = component.planes[k];
    const std::size_t place = cursor.at();
    plane.coding = static_cast<Coding>(cursor.take<std::uint8_t>());
    if (plane.coding > Coding::sparse) malformed(place, "there is no such coding of a plane");
    if (plane.coding == Coding::escaped || plane.coding == Coding::delta_escaped || plane.coding == Coding::sparse)
      plane.num_escapes = cursor.take<std::uint32_t>();
    if (plane.coding == Coding::sparse) plane.num_values = cursor.take<std::uint32_t>();
  }
}

std::uint64_t row_bytes(const PlaneSize& component) { return static_cast<std::uint64_t>(component.blocks_across + 7) / 8; }

// In front of a plane's escapes.
std::uint64_t dense_bytes(const PackedPlane& plane, const PlaneSize& component) {
  switch (plane.coding) {
    case Coding::zero: return 0;
    case Coding::wide: return 2 * component.num_blocks();
    case Coding::sparse:
      return row_bytes(component) * static_cast<std::uint64_t>(component.blocks_down) + plane.num_values;
    case Coding::bytes:
    case Coding::escaped:
    case Coding::delta_escaped: break;
  }
  return component.num_blocks();
}

std::uint32_t position_of(const std::uint8_t* escape) {
  std::uint32_t position = 0;
  std::memcpy(&position, escape, sizeof position);
  return position;
}

std::int16_t value_of(const std::uint8_t* escape) {
  std::int16_t value = 0;
  std::memcpy(&value, escape + sizeof(std::uint32_t), sizeof value);
  return value;
}

void check_escapes(const PackedPlane& plane, std::uint64_t blocks) {
  std::uint64_t least = 0;
  for (std::uint32_t i = 0; i < plane.num_escapes; ++i) {
    const std::uint32_t position = position_of(plane.escapes + i * escape_bytes);
    if (position < least || position >= blocks)
      malformed(no_offset, "an escape is at block " + std::to_string(position) + " of " + std::to_string(blocks) +
                               ", or not behind the one before");
    least = std::uint64_t{position} + 1;
  }
}

void check_bits(const PackedPlane& plane, const PlaneSize& component) {
  const auto in_row = static_cast<std::size_t>(row_bytes(component)), down = static_cast<std::size_t>(component.blocks_down);
  if (pack_kernels().count_bits(plane.values, in_row * down) != plane.num_values)
    malformed(no_offset, "a sparse plane has other than " + std::to_string(plane.num_values) + " bits set");
  if (component.blocks_across % 8 == 0) return;
  for (std::size_t row = 1; row <= down; ++row)
    if (plane.values[row * in_row - 1] >> component.blocks_across % 8 != 0)
      malformed(no_offset, "a sparse plane has bits behind the end of a row");
}

}  // namespace

bool begins_like_pack(std::span<const std::uint8_t> bytes) {
  return bytes.size() >= pack_magic.size() && std::equal(pack_magic.begin(), pack_magic.end(), bytes.begin());
}

std::uint64_t PackedImage::value_bytes() const {
  std::uint64_t bytes = 0;
  for (const PackedComponent& component : components)
    for (const PackedPlane& plane : component.planes)
      if (plane.coding != Coding::zero) bytes += component.header.num_blocks() * sizeof(std::int16_t);
  return bytes;
}

PackedImage read_pack_header(std::span<const std::uint8_t> bytes, const Limits& limits) {
  std::array<std::uint8_t, most_header_bytes> copy;
  const auto end = std::copy_n(bytes.begin(), std::min(bytes.size(), copy.size()), copy.begin());
  const std::span<const std::uint8_t> header(copy.begin(), end);
  if (!begins_like_pack(header)) malformed(0, "no packed image: it does not begin with 'ppx' and the version 1");
  Cursor cursor(header, 12);
  PackedImage packed;
  packed.header_bytes = cursor.take<std::uint32_t>();
  static_cast<void>(cursor.take<std::uint64_t>());  // the checksum
  packed.payload_bytes = cursor.take<std::uint32_t>();
  read_size(packed, cursor, limits);
  const std::size_t at = cursor.at();
  const auto color = cursor.take<std::uint8_t>();
  packed.header.color = static_cast<Color>(color);
  packed.header.orientation = cursor.take<std::uint8_t>();
  const auto count = cursor.take<std::uint8_t>();
  static_cast<void>(cursor.take<std::uint8_t>());
  if (color > static_cast<std::uint8_t>(Color::unknown) || packed.header.orientation < 1 || packed.header.orientation > 8)
    malformed(at, "there is no such color or orientation");
  constexpr std::array<int, 6> components_of = {1, 3, 3, 4, 4, 2};
  if (count != components_of[color]) malformed(at, "color and number of components do not agree");
  packed.components.resize(count);
  for (std::size_t i = 0; i < count; ++i)
    read_component(packed.components[i], i == 0 ? nullptr : &packed.components[i - 1].header, cursor);
  if (cursor.at() != packed.header_bytes)
    malformed(12, "the header says that it has " + std::to_string(packed.header_bytes) + " bytes; it has " +
                      std::to_string(cursor.at()));
  measure(packed, limits);
  return packed;
}

PackedImage read_pack(std::span<const std::uint8_t> header, std::span<const std::uint8_t> payload, const Limits& limits,
                 bool verify) {
  PackedImage packed = read_pack_header(header, limits);
  if (packed.payload_bytes != payload.size())
    malformed(pack_envelope_bytes, "the payload should have " + std::to_string(packed.payload_bytes) + " bytes; it has " +
                                       std::to_string(payload.size()));
  if (verify) {
    std::uint64_t told = 0;
    std::memcpy(&told, header.data() + 16, sizeof told);
    if (told != pack_checksum(header.first(packed.header_bytes), payload))
      malformed(16, "the checksum is not that of the contents");
  }
  std::uint64_t at = 0;
  for (PackedComponent& component : packed.components) {
    const ComponentHeader& header_of = component.header;
    const std::uint64_t blocks = header_of.num_blocks();
    for (PackedPlane& plane : component.planes) {
      const std::uint64_t dense = dense_bytes(plane, header_of), size = dense + escape_bytes * plane.num_escapes;
      if (size > payload.size() - at) malformed(no_offset, "the payload is too short for its planes");
      plane.values = payload.data() + at;
      plane.escapes = plane.values + dense;
      if (plane.coding == Coding::sparse) check_bits(plane, header_of);
      check_escapes(plane, blocks);
      at += size;
    }
  }
  if (at != payload.size()) malformed(no_offset, "the payload is longer than its planes");
  return packed;
}

PlaneReader::PlaneReader(const PackedComponent& component, int frequency)
    : plane_(component.planes[static_cast<std::size_t>(frequency)]),
      across_(static_cast<std::size_t>(component.header.blocks_across)),
      down_(static_cast<std::size_t>(component.header.blocks_down)) {}

const std::int8_t* PlaneReader::expand(int row) {
  const std::size_t in_row = (across_ + 7) / 8;
  expanded_.resize(8 * in_row);
  if (row < next_row_) next_row_ = 0, next_value_ = 0;
  const std::uint8_t* bits = plane_.values + static_cast<std::size_t>(row) * in_row;
  const PackKernels& kernels = pack_kernels();
  next_value_ += kernels.count_bits(plane_.values + static_cast<std::size_t>(next_row_) * in_row,
                                    static_cast<std::size_t>(row - next_row_) * in_row);
  next_value_ = std::min<std::size_t>(next_value_, plane_.num_values);  // the bits may have changed since the check
  const std::uint8_t* values = plane_.values + in_row * down_;
  next_value_ += kernels.expand_bits(bits, in_row, values + next_value_, values + plane_.num_values, expanded_.data());
  next_row_ = row + 1;
  return expanded_.data();
}

void PlaneReader::put_escapes(std::size_t begin, std::size_t count, std::int16_t* out, std::size_t step) const {
  std::uint32_t first = 0, last = plane_.num_escapes;
  while (first < last) {
    const std::uint32_t middle = first + (last - first) / 2;
    if (position_of(plane_.escapes + middle * escape_bytes) < begin) first = middle + 1;
    else last = middle;
  }
  for (; first < plane_.num_escapes; ++first) {
    const std::uint8_t* escape = plane_.escapes + first * escape_bytes;
    const std::size_t position = position_of(escape);  // read once: it may change
    if (position >= begin + count) break;
    if (position >= begin) out[(position - begin) * step] = value_of(escape);
  }
}

void PlaneReader::read_row(int row, std::int16_t* out, std::size_t step) {
  if (plane_.coding == Coding::zero) {
    for (std::size_t i = 0; i < across_; ++i) out[i * step] = 0;
    return;
  }
  const std::size_t begin = static_cast<std::size_t>(row) * across_;
  const std::uint8_t* low = plane_.values + begin;
  if (plane_.coding == Coding::wide) {
    const std::uint8_t* high = low + across_ * down_;
    for (std::size_t i = 0; i < across_; ++i) out[i * step] = static_cast<std::int16_t>(low[i] | high[i] << 8);
  } else if (plane_.coding == Coding::sparse) {
    const std::int8_t* values = expand(row);
    for (std::size_t i = 0; i < across_; ++i) out[i * step] = values[i];
    put_escapes(begin, across_, out, step);
  } else {
    for (std::size_t i = 0; i < across_; ++i) out[i * step] = static_cast<std::int8_t>(low[i]);
    put_escapes(begin, across_, out, step);
  }
  if (has_differences())
    for (std::size_t i = 1; i < across_; ++i)
      out[i * step] = static_cast<std::int16_t>(out[i * step] + out[(i - 1) * step]);
}

void PlaneReader::read_part(int row, int begin, int count, std::int16_t* out, std::int16_t* spare) {
  const std::size_t size = static_cast<std::size_t>(count);
  if (has_differences()) {
    read_row(row, spare, 1);
    std::copy_n(spare + begin, size, out);
  } else if (plane_.coding == Coding::zero) {
    std::fill_n(out, size, std::int16_t{0});
  } else {
    const std::size_t first = static_cast<std::size_t>(row) * across_ + static_cast<std::size_t>(begin);
    const std::int8_t* low = plane_.coding == Coding::sparse ? expand(row) + begin
                                                             : reinterpret_cast<const std::int8_t*>(plane_.values) + first;
    pack_kernels().widen(low, size, out);
    put_escapes(first, size, out, 1);
  }
}

Image unpack(const PackedImage& packed) {
  Image image;
  static_cast<Header&>(image) = packed.header;
  for (const PackedComponent& component : packed.components) {
    Component& made = image.components.emplace_back();
    static_cast<ComponentHeader&>(made) = component.header;
    made.blocks = Blocks(static_cast<std::size_t>(made.num_blocks()));
    std::vector<std::pair<std::size_t, PlaneReader>> readers;
    for (std::size_t k = 0; k < 64; ++k)
      if (component.planes[k].coding != Coding::zero) readers.emplace_back(k, PlaneReader(component, static_cast<int>(k)));
    for (int row = 0; row < made.blocks_down; ++row) {
      std::int16_t* blocks = made.blocks[static_cast<std::size_t>(row) * static_cast<std::size_t>(made.blocks_across)].data();
      for (auto& [k, reader] : readers) reader.read_row(row, blocks + k, 64);
    }
  }
  return image;
}

}  // namespace prepixel
