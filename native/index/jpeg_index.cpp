#include "index/jpeg_index.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>

#include "packed/xxh64.hpp"

namespace prepixel {

namespace {

constexpr std::array<std::uint8_t, 4> magic = {'p', 'j', 'i', 1};
constexpr std::size_t checked_begin = 8;  // of the bytes that the index's own checksum covers
constexpr std::uint64_t most_side_mcus = 65535;
constexpr std::uint64_t most_scans = 65535;

using Bytes = std::vector<std::uint8_t>;

template <class Word>
void put(Bytes& out, Word word) {
  for (std::size_t i = 0; i < sizeof word; ++i) out.push_back(static_cast<std::uint8_t>(word >> 8 * i));
}

void put_varint(Bytes& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<std::uint8_t>(value | 0x80));
  out.push_back(static_cast<std::uint8_t>(value));
}

// Differences of 16 bits, small ones of either sign in few bits.
std::uint64_t zigzag(std::int16_t value) {
  return static_cast<std::uint16_t>(static_cast<std::uint16_t>(value) << 1 ^ (value < 0 ? 0xFFFF : 0));
}
std::int16_t unzigzag(std::uint64_t code) {
  return static_cast<std::int16_t>(static_cast<std::uint16_t>(code >> 1 ^ ((code & 1) != 0 ? 0xFFFF : 0)));
}

class IndexReader {
 public:
  explicit IndexReader(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  [[noreturn]] void fail(const std::string& what) const {
    throw JpegFault(Fault::index, std::min(at_, bytes_.size()), what, "Make the index again");
  }
  template <class Word>
  Word take() {
    if (bytes_.size() - at_ < sizeof(Word)) fail("the index ends early");
    Word word = 0;
    for (std::size_t i = 0; i < sizeof word; ++i) word = static_cast<Word>(word | Word{bytes_[at_ + i]} << 8 * i);
    at_ += sizeof word;
    return word;
  }
  std::uint64_t varint() {
    if (at_ != bytes_.size() && bytes_[at_] < 0x80) return bytes_[at_++];
    std::uint64_t value = 0;
    for (int shift = 0; shift < 63; shift += 7) {
      if (at_ == bytes_.size()) fail("the index ends early");
      const std::uint8_t byte = bytes_[at_++];
      value |= std::uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    fail("a number of more than 63 bits");
  }
  std::uint64_t varint_up_to(std::uint64_t most, const char* what) {
    const std::uint64_t value = varint();
    if (value > most) [[unlikely]] fail_above(value, most, what);
    return value;
  }
  std::size_t left() const { return bytes_.size() - at_; }

  [[noreturn]] void fail_above(std::uint64_t value, std::uint64_t most, const char* what) const {
    fail(std::string(what) + " is " + std::to_string(value) + ", more than " + std::to_string(most));
  }

 private:
  std::span<const std::uint8_t> bytes_;
  std::size_t at_ = 0;
};

void read_checkpoints(IndexReader& reader, const JpegIndex& index, ScanCheckpoints& scan) {
  scan.mcus_across = reader.varint_up_to(most_side_mcus, "MCUs across");
  scan.mcus_down = reader.varint_up_to(most_side_mcus, "MCUs down");
  scan.num_components = reader.take<std::uint8_t>();
  if (scan.mcus_across == 0 || scan.mcus_down == 0 || scan.num_components < 1 || scan.num_components > 4)
    reader.fail("a scan without MCUs or components");
  const std::uint64_t step = index.every == 0 ? scan.mcus_across : static_cast<std::uint64_t>(index.every);
  const std::uint64_t count = scan.mcus_down * ((scan.mcus_across + step - 1) / step) + 1;
  if ((count - 1) * (1u + scan.num_components) > reader.left()) reader.fail("more checkpoints than the index has bytes");
  scan.checkpoints.resize(static_cast<std::size_t>(count));
  const std::size_t num_components = scan.num_components;
  const std::uint64_t end = 8 * std::uint64_t{scan.data_end};
  Checkpoint point{.mcu = 0, .bit = 8 * std::uint64_t{scan.data_begin}};
  scan.checkpoints[0] = point;
  std::uint64_t column = 0;  // of the point: crops of many small photos read this as often as they decode
  for (std::size_t k = 1; k < count; ++k) {
    const std::uint64_t distance = std::min(step, scan.mcus_across - column);
    point.mcu += distance;
    column = column + distance == scan.mcus_across ? 0 : column + distance;
    point.bit += reader.varint_up_to(end - point.bit, "a distance of checkpoints in bits");
    for (std::size_t i = 0; i < num_components; ++i) {
      const std::uint64_t code = reader.varint_up_to(0xFFFF, "a difference of DC predictors");
      point.dc_predictors[i] = static_cast<std::int16_t>(
          static_cast<std::uint16_t>(point.dc_predictors[i]) + static_cast<std::uint16_t>(unzigzag(code)));
    }
    scan.checkpoints[k] = point;
  }
}

JpegIndex read_fields(IndexReader& reader) {
  for (const std::uint8_t byte : magic)
    if (reader.left() == 0 || reader.take<std::uint8_t>() != byte)
      reader.fail("no index: it does not begin with 'pji' and the version 1");
  reader.take<std::uint32_t>();  // its checksum
  JpegIndex index;
  index.file_size = reader.take<std::uint64_t>();
  index.file_checksum = reader.take<std::uint64_t>();
  index.checked_begin = reader.take<std::uint32_t>();
  index.every = reader.take<std::uint16_t>();
  const auto process = reader.take<std::uint8_t>();
  if (process > 1 || reader.take<std::uint8_t>() != 0) reader.fail("a coding process that this version does not know");
  index.is_progressive = process == 1;
  if (index.file_size > std::uint64_t{1} << 56 || !std::in_range<std::size_t>(index.file_size))
    reader.fail("a file of more than 2^56 bytes, or than memory has addresses");
  return index;
}

}  // namespace

JpegIndex index_jpeg(std::span<const std::uint8_t> file, const Limits& limits, int every) {
  const auto decode_whole = [&] { const PooledImage whole(file, {.limits = limits}); };
  NotedFile noted;
  try {
    noted = note_checkpoints(file, limits, every);
  } catch (const JpegFault&) {
    decode_whole();  // whose fault names the block
    throw;
  }
  if (noted.header.process == Process::progressive) decode_whole();  // its scans were found, not decoded
  return {.file_size = file.size(),
          .file_checksum = xxh64(file, 0),
          .every = every,
          .is_progressive = noted.header.process == Process::progressive,
          .scans = std::move(noted.scans)};
}

std::vector<std::uint8_t> write_index(const JpegIndex& index) {
  Bytes out(magic.begin(), magic.end());
  put(out, std::uint32_t{0});
  put(out, index.file_size);
  put(out, index.file_checksum);
  put(out, index.checked_begin);
  put(out, static_cast<std::uint16_t>(index.every));
  put(out, static_cast<std::uint8_t>(index.is_progressive ? 1 : 0));
  put(out, std::uint8_t{0});
  put_varint(out, index.scans.size());
  std::size_t offset = 0;
  for (const ScanCheckpoints& scan : index.scans) {
    put_varint(out, scan.data_begin - offset);
    put_varint(out, scan.data_end - scan.data_begin);
    offset = scan.data_end;
    if (index.is_progressive) continue;
    put_varint(out, scan.mcus_across);
    put_varint(out, scan.mcus_down);
    put(out, scan.num_components);
    for (std::size_t k = 1; k < scan.checkpoints.size(); ++k) {
      const Checkpoint &before = scan.checkpoints[k - 1], &point = scan.checkpoints[k];
      put_varint(out, point.bit - before.bit);
      for (std::size_t i = 0; i < scan.num_components; ++i)
        put_varint(out, zigzag(static_cast<std::int16_t>(static_cast<std::uint16_t>(point.dc_predictors[i]) -
                                                         static_cast<std::uint16_t>(before.dc_predictors[i]))));
    }
  }
  const auto checksum = static_cast<std::uint32_t>(xxh64(std::span(out).subspan(checked_begin), 0));
  for (std::size_t i = 0; i < sizeof checksum; ++i) out[4 + i] = static_cast<std::uint8_t>(checksum >> 8 * i);
  return out;
}

JpegIndex read_index(std::span<const std::uint8_t> bytes, bool check) {
  IndexReader reader(bytes);
  JpegIndex index = read_fields(reader);
  std::uint32_t told = 0;
  std::memcpy(&told, bytes.data() + 4, sizeof told);
  if (check && told != static_cast<std::uint32_t>(xxh64(bytes.subspan(checked_begin), 0)))
    throw JpegFault(Fault::index, 4, "the index is damaged: its checksum is another", "Make the index again");
  const std::uint64_t num_scans = reader.varint_up_to(most_scans, "the number of scans");
  std::uint64_t offset = 2;
  for (std::uint64_t i = 0; i < num_scans; ++i) {
    ScanCheckpoints& scan = index.scans.emplace_back();
    const std::uint64_t from = i == 0 ? 0 : offset;
    scan.data_begin = static_cast<std::size_t>(from + reader.varint_up_to(index.file_size - from, "the distance to a scan"));
    if (scan.data_begin < offset) reader.fail("a scan in front of the file's first marker");
    scan.data_end = static_cast<std::size_t>(
        scan.data_begin + reader.varint_up_to(index.file_size - scan.data_begin, "the size of a scan"));
    offset = scan.data_end;
    if (!index.is_progressive) read_checkpoints(reader, index, scan);
  }
  if (num_scans == 0 || reader.left() != 0) reader.fail("an index without scans, or bytes behind the last");
  return index;
}

bool is_index_of(const JpegIndex& index, std::span<const std::uint8_t> file) {
  return index.file_size == file.size() && index.checked_begin <= file.size() &&
         index.file_checksum == xxh64(file.subspan(index.checked_begin), 0);
}

std::optional<JpegIndex> fitting_index(std::span<const std::uint8_t> index, std::span<const std::uint8_t> file,
                                       const Limits& limits) {
  if (checkpoint_memory(index.size()) > limits.max_memory_bytes) return std::nullopt;
  try {
    JpegIndex known = read_index(index);
    if (is_index_of(known, file)) return known;
  } catch (const JpegFault&) {  // of the index, not of the file
  }
  return std::nullopt;
}

Image decode_indexed(std::span<const std::uint8_t> file, std::span<const std::uint8_t> index, DecodeOptions options) {
  std::optional<JpegIndex> known;
  const bool is_given = !index.empty() && !options.keep_truncated;
  if (is_given) known = fitting_index(index, file, options.limits);
  options.checkpoints = known ? &known->scans : nullptr;
  Image image = decode(file, options);
  image.checkpoints_refused = is_given && (!known || image.checkpoints_refused);
  return image;
}

}  // namespace prepixel
