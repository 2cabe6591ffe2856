#include "jpeg/huffman_lookup.hpp"

#include <algorithm>
#include <mutex>
#include <utility>

#include "jpeg/memory.hpp"

namespace prepixel {

namespace {

constexpr std::size_t num_windows = std::size_t{1} << AcTable::lookup_length;
constexpr std::size_t most_length = AcTable::lookup_length;

constexpr int run_of(int symbol) { return symbol >> 4; }
constexpr int size_of(int symbol) { return symbol & 15; }
constexpr bool ends_block(int symbol) { return size_of(symbol) == 0 && run_of(symbol) != 15; }

AcEntry entry_of(int symbol, std::size_t code_length, EndOfBlock end) {
  const bool ends = ends_block(symbol);
  const int size = ends && end == EndOfBlock::eobn ? run_of(symbol) : size_of(symbol);
  return {ends ? AcEntry::advance_end : run_of(symbol) + 1, size, static_cast<int>(code_length) + size};
}

// Fill entries of one symbol. Codes ascend with their lengths: return for each length where longer codes begin.
std::array<std::size_t, most_length + 1> fill_singles(const HuffmanSpec& spec, EndOfBlock end,
                                                      std::array<AcEntry, num_windows>& entries) {
  std::array<std::size_t, most_length + 1> ends{};
  std::size_t index = 0, at = 0;
  for (std::size_t length = 1; length <= most_length; ++length) {
    const std::size_t same = num_windows >> length;
    for (std::size_t i = 0; i < spec.counts[length]; ++i, at += same)
      std::fill_n(entries.begin() + static_cast<std::ptrdiff_t>(at), same,
                  entry_of(spec.symbols[index++], length, end));
    ends[length] = at;
  }
  return ends;
}

void fill(AcTable& table, const HuffmanSpec& spec, EndOfBlock end) {
  std::array<AcEntry, num_windows> singles;
  const auto ends = fill_singles(spec, end, singles);
  std::size_t index = 0, at = 0;
  for (std::size_t code_length = 1; code_length <= most_length; ++code_length) {
    for (std::size_t i = 0; i < spec.counts[code_length]; ++i) {
      const int symbol = spec.symbols[index++];
      const std::size_t stop = at + (num_windows >> code_length);
      const int run = run_of(symbol);
      const int size = ends_block(symbol) ? 0 : size_of(symbol);
      const std::size_t length = code_length + static_cast<std::size_t>(size);
      const AcEntry single = ends_block(symbol) ? singles[at] : singles[at].as_single(run);
      if (ends_block(symbol) || length >= most_length) {
        const bool fits = singles[at].length() <= AcTable::most_bits;
        for (; at < stop; ++at) table.entries[at] = fits ? single : AcEntry{};
        continue;
      }
      // The bits after the additional bits may hold the code of a second symbol.
      const std::size_t left = most_length - length;
      for (std::uint32_t bits = 0; at < stop; ++bits) {
        const int value = size == 0 ? 0 : extend(bits, size);
        const std::size_t next = at + (std::size_t{1} << left);
        for (std::size_t rest = 0; at < next; ++at, rest += std::size_t{1} << length) {
          const AcEntry second = rest < ends[left] ? singles[rest] : AcEntry{};
          const bool fits = second.length() != 0 && second.length() + static_cast<int>(length) <= AcTable::most_bits;
          table.entries[at] = fits ? second.with_first(run, value, static_cast<int>(length)) : single;
        }
      }
    }
  }
}

void fill(DcTable& table) {
  for (std::size_t window = 0; window < table.entries.size(); ++window) {
    const Symbol symbol = table.code.decode(static_cast<std::uint64_t>(window) << (64 - DcTable::lookup_length));
    if (symbol.length == 0 || symbol.length > DcTable::lookup_length) continue;
    if (symbol.length + symbol.value > DcTable::most_bits) continue;
    table.entries[window] = static_cast<std::uint16_t>((symbol.length + symbol.value) | symbol.value << 8);
  }
}

// The last few tables of one class.
template <class Table>
class RecentTables {
 public:
  template <class Make>
  std::shared_ptr<const Table> find(const HuffmanSpec& spec, const Make& make) {
    for (const Entry& recent : recent_)
      if (recent.table && recent.spec == spec) return recent.table;
    std::shared_ptr<const Table> table = make();
    if (!table) return nullptr;
    recent_[oldest_] = {spec, table};
    oldest_ = (oldest_ + 1) % recent_.size();
    return table;
  }

 private:
  struct Entry {
    HuffmanSpec spec;
    std::shared_ptr<const Table> table;
  };
  std::array<Entry, 6> recent_;
  std::size_t oldest_ = 0;
};

}  // namespace

class HuffmanTableCache {
 public:
  RecentTables<DcTable> dc;
  std::array<RecentTables<AcTable>, 2> ac;  // by EndOfBlock
};

namespace {

// Caches that are not borrowed. On contention a decoder makes its own, so that a forked child never waits for a lock
// that it inherited held.
class TableCachePool {
 public:
  std::unique_ptr<HuffmanTableCache> take() noexcept {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    return lock && count_ != 0 ? std::move(caches_[--count_]) : nullptr;
  }

  void put(std::unique_ptr<HuffmanTableCache> cache) noexcept {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (lock && count_ < caches_.size()) caches_[count_++] = std::move(cache);
  }

 private:
  std::mutex mutex_;
  std::array<std::unique_ptr<HuffmanTableCache>, 16> caches_;
  std::size_t count_ = 0;
};

TableCachePool& caches() noexcept {
  static constinit NeverDestroyed<TableCachePool> pool;
  return pool.value;
}

}  // namespace

void release_huffman_tables() noexcept {
  while (const std::unique_ptr<HuffmanTableCache> cache = caches().take()) {
  }
}

HuffmanTableLease::HuffmanTableLease() = default;

HuffmanTableLease::~HuffmanTableLease() {
  if (cache_) caches().put(std::move(cache_));
}

HuffmanTableCache& HuffmanTableLease::cache() {
  if (!cache_) cache_ = caches().take();
  if (!cache_) cache_ = std::make_unique<HuffmanTableCache>();
  return *cache_;
}

std::shared_ptr<const DcTable> HuffmanTableLease::dc(const HuffmanSpec& spec) {
  return cache().dc.find(spec, [&]() -> std::shared_ptr<const DcTable> {
    const auto code = HuffmanCode::make(spec, HuffmanClass::dc);
    if (!code) return nullptr;
    auto table = std::make_shared<DcTable>(DcTable{.code = *code, .entries = {}});
    fill(*table);
    return table;
  });
}

std::shared_ptr<const AcTable> HuffmanTableLease::ac(const HuffmanSpec& spec, EndOfBlock end) {
  return cache().ac[static_cast<std::size_t>(end)].find(spec, [&]() -> std::shared_ptr<const AcTable> {
    const auto code = HuffmanCode::make(spec, HuffmanClass::ac);
    if (!code) return nullptr;
    auto table = std::make_shared<AcTable>(AcTable{.code = *code, .entries = {}});
    fill(*table, spec, end);
    return table;
  });
}

}  // namespace prepixel
