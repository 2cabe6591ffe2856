// The index of a JPEG: where its scans can be entered. Format: docs/formats/jpeg-index.md.
//
// Bytes of an index are hostile: whatever they are, reading them ends in an index or in a JpegFault (index), and decoding
// with it stays in the file and the planes. What a wrong index cannot do unnoticed, the format's page says.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "jpeg/checkpoints.hpp"
#include "jpeg/decoder.hpp"
#include "jpeg/types.hpp"

namespace prepixel {

struct JpegIndex {
  std::uint64_t file_size = 0;
  std::uint64_t file_checksum = 0;  // XXH64 of the file from `checked_begin` on, seed 0
  std::uint32_t checked_begin = 0;  // 0, or the end of the segments that hold this index
  int every = 0;                    // MCUs between checkpoints within a row; 0: one for each row
  bool is_progressive = false;
  FileCheckpoints scans;
};

constexpr int most_every = 65535;

// Index a file. JpegFault: it cannot be decoded.
JpegIndex index_jpeg(std::span<const std::uint8_t> file, const Limits& limits, int every);

std::vector<std::uint8_t> write_index(const JpegIndex& index);

// JpegFault (index): these bytes are none, or are damaged. Fuzzers leave the checksum out, to meet what is behind it.
JpegIndex read_index(std::span<const std::uint8_t> bytes, bool check = true);

// Whether size and checksum are those of the file.
bool is_index_of(const JpegIndex& index, std::span<const std::uint8_t> file);

// The most memory that the checkpoints of an index of so many bytes take.
constexpr std::uint64_t checkpoint_memory(std::size_t index_bytes) { return index_bytes / 2 * sizeof(Checkpoint); }

// Read an index to decode a file with. None: it is damaged or another file's, or its checkpoints would take more memory than
// the limits allow.
std::optional<JpegIndex> fitting_index(std::span<const std::uint8_t> index, std::span<const std::uint8_t> file,
                                       const Limits& limits);

// Decode with an index, or without where it is damaged or another file's: then checkpoints_refused says so.
Image decode_indexed(std::span<const std::uint8_t> file, std::span<const std::uint8_t> index, DecodeOptions options);

}  // namespace prepixel
