// Runs of MCUs between checkpoints: decoded apart from each other, and noted.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <new>
#include <system_error>
#include <utility>

#include "jpeg/joined_thread.hpp"
#include "jpeg/scan_decoder.hpp"
#include "jpeg/sequential_block.hpp"

namespace prepixel {

namespace {

[[noreturn]] void refuse(std::size_t offset, const std::string& what) {
  throw JpegFault(Fault::damaged, offset, what, "Read the file without the index, and make the index again");
}

// Where a run ends is not known before it is decoded.
constexpr std::uint64_t unknown_bit = ~std::uint64_t{0};

// Tasks for each thread, so that none waits long for the last.
constexpr std::size_t tasks_per_thread = 8;

}  // namespace

// The runs that hold the wanted MCUs, in order; those that overlap or meet are one.
std::vector<ScanDecoder::Run> ScanDecoder::needed_runs(const ScanCheckpoints& known) const {
  std::uint64_t begin_column = mcus_across_, end_column = 0;
  for (const Slot& slot : slots_) {
    const int end = std::min(slot.region.column_end, slot.across);
    if (slot.region.row_begin >= std::min(slot.region.row_end, slot.down) || slot.region.column_begin >= end) continue;
    begin_column = std::min(begin_column, static_cast<std::uint64_t>(slot.region.column_begin / slot.step_x));
    end_column = std::max(end_column, static_cast<std::uint64_t>(ceil_divide(end, slot.step_x)));
  }
  std::vector<Run> runs;
  if (begin_column >= end_column) return runs;
  const Checkpoint* at = known.checkpoints.data();
  const Checkpoint* const last = at + known.checkpoints.size() - 1;
  const auto behind = [](std::uint64_t mcu, const Checkpoint& point) { return mcu < point.mcu; };
  for (std::uint64_t row = start_mcu_; row < stop_mcu_; row += mcus_across_) {
    const Checkpoint* begin = std::upper_bound(at, last, row + begin_column, behind) - 1;
    const Checkpoint* end = begin;
    while (end->mcu < row + end_column) ++end;
    if (!runs.empty() && begin <= runs.back().end) runs.back().end = std::max(runs.back().end, end);
    else runs.push_back({begin, end});
    at = begin;
  }
  return runs;
}

std::size_t ScanDecoder::decode_between(const ScanHeader& scan, const DecoderTables& tables, std::size_t offset,
                                        const ScanCheckpoints& known, int num_threads) {
  if (offset != known.data_begin || known.data_end < offset || known.data_end > segments_.file().size())
    refuse(offset, "the index has this scan's data elsewhere");
  if (image_.process == Process::progressive) {
    begin_scan(scan, tables);
    const bool is_needed = scan.ss <= ScanOrderMap(options_.wanted[scan.components[0].index].kept).last;
    if (!is_needed && scan.ss != 0) return known.data_end;
    const std::size_t end = decode_progressive(tables, offset);
    // Restart intervals behind the last MCU are bytes outside any segment; the index, which only skipped, counts them in.
    if (end != known.data_end && skip_scan(end) != known.data_end)
      refuse(end, "the index has the end of this scan elsewhere");
    return end;
  }
  begin_scan(scan, tables);
  if (known.mcus_across != mcus_across_ || known.mcus_across * known.mcus_down != num_mcus_ ||
      known.num_components != scan.components.size())
    refuse(scan.offset, "the index has this scan with other MCUs");
  const std::vector<Run> runs = needed_runs(known);
  stop_mcu_ = num_mcus_;  // runs end where they end
  if (keeps_all()) decode_runs<false>(tables, runs, num_threads);
  else decode_runs<true>(tables, runs, num_threads);
  check_end(known);
  return known.data_end;
}

// Between the end of the last MCU and the marker that ends the scan nothing may stand but bytes that no MCU reads.
void ScanDecoder::check_end(const ScanCheckpoints& known) {
  const std::span<const std::uint8_t> file = segments_.file();
  const std::uint64_t bit = known.checkpoints.back().bit;
  const auto byte = static_cast<std::size_t>(bit / 8);
  const std::size_t begin = bit % 8 == 0 ? byte : segments_.behind_byte(byte);
  const std::size_t behind = segments_.behind_byte(known.data_end);  // the end of the file may stand for the marker
  const bool ends = known.data_end == file.size() ||
                    (file[known.data_end] == 0xFF && file[known.data_end - 1] != 0xFF && file[behind - 1] != 0);
  if (!ends || begin > known.data_end) refuse(known.data_end, "the index has the end of this scan elsewhere");
  const EntropySegment left = segments_.read(begin, known.data_end);
  if (left.marker != 0 || left.file_end != known.data_end)
    refuse(left.file_end, "the index has the end of this scan elsewhere");
  if (left.size != 0) warn_of_unread(BitReader(left), left);
}

namespace {

// Cut runs, at checkpoints, so that threads share them evenly.
template <class Run>
std::vector<Run> share(const std::vector<Run>& runs, std::size_t num_tasks) {
  std::uint64_t total = 0;
  for (const Run& run : runs) total += run.end->mcu - run.begin->mcu;
  const std::uint64_t most = std::max<std::uint64_t>(1, total / num_tasks);
  std::vector<Run> tasks;
  for (const Run& run : runs) {
    for (const auto* begin = run.begin; begin != run.end;) {
      const auto* end = begin + 1;
      while (end != run.end && end[0].mcu - begin->mcu < most) ++end;
      tasks.push_back({begin, end});
      begin = end;
    }
  }
  return tasks;
}

}  // namespace

template <bool selected>
void ScanDecoder::decode_runs(const DecoderTables& tables, const std::vector<Run>& runs, int num_threads) {
  const SequentialScan<selected> coder = sequential_coder<selected>(tables);
  if (num_threads <= 1) {
    SequentialScan<selected> own = coder;
    for (const Run& run : runs) {
      decode_run(own, run, tables.restart_interval);
      give_rows((run.end->mcu - 1) / mcus_across_ + 1);  // a row's wanted MCUs are all in one run
    }
    return;
  }
  const std::vector<Run> tasks = share(runs, tasks_per_thread * static_cast<std::size_t>(num_threads));
  std::vector<std::vector<std::string>> warnings(tasks.size());
  std::vector<std::uint64_t> decoded(tasks.size());
  std::atomic<std::size_t> next{0};
  std::exception_ptr error;
  std::atomic<bool> failed{false};
  const auto drain = [&]() noexcept {
    try {
      ScanDecoder worker(image_, segments_.file(), options_);
      worker.scan_ = scan_;
      worker.slots_ = slots_;
      worker.mcus_across_ = mcus_across_;
      worker.num_mcus_ = worker.stop_mcu_ = num_mcus_;
      for (Slot& slot : worker.slots_) slot.decoded = &worker.uncounted_;
      SequentialScan<selected> own = coder;
      for (std::size_t i = next++; i < tasks.size() && !failed; i = next++) {
        worker.held_warnings_ = &warnings[i];
        worker.decode_run(own, tasks[i], tables.restart_interval);
        decoded[i] = std::exchange(worker.uncounted_, 0);
      }
    } catch (...) {
      if (!failed.exchange(true)) error = std::current_exception();
    }
  };
  {
    std::vector<JoinedThread> helpers;
    try {
      const std::size_t wanted = std::min(static_cast<std::size_t>(num_threads), tasks.size());
      helpers.reserve(wanted);
      while (helpers.size() + 1 < wanted) helpers.emplace_back(drain);
    } catch (const std::system_error&) {  // those threads that there are do the work
    } catch (const std::bad_alloc&) {
    }
    drain();
  }
  if (failed) std::rethrow_exception(error);
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    *slots_[0].decoded += decoded[i];
    for (const std::string& warning : warnings[i]) warn(image_, warning);
  }
}

// Decode from one checkpoint to another, over the restart markers between them, and see that it ends there.
template <class Coder>
void ScanDecoder::decode_run(Coder& coder, const Run& run, int restart_interval) {
  const std::span<const std::uint8_t> file = segments_.file();
  const auto interval = static_cast<std::uint64_t>(restart_interval);
  const Checkpoint& to = *run.end;
  const bool has_end = to.bit != unknown_bit;
  const auto to_byte = static_cast<std::size_t>(to.bit / 8);
  const std::size_t limit = !has_end             ? file.size()
                            : to.bit % 8 == 0 ? to_byte
                                              : segments_.behind_byte(to_byte);
  auto offset = static_cast<std::size_t>(run.begin->bit / 8);
  int passed = static_cast<int>(run.begin->bit % 8);
  if (offset >= limit || limit > file.size() || (run.begin->mcu != 0 && file[offset - 1] == 0xFF))
    refuse(std::min(offset, file.size()), "the index begins a run of MCUs where no data stand");
  for (std::size_t i = 0; i < scan_.components.size(); ++i)
    coder.components[i].dc_predictor = static_cast<std::uint32_t>(run.begin->dc_predictors[i]);
  for (std::uint64_t mcu = run.begin->mcu;;) {
    const std::uint64_t interval_end =
        interval == 0 ? num_mcus_ : std::min(num_mcus_, (mcu / interval + 1) * interval);
    const std::uint64_t end = std::min(to.mcu, interval_end);
    const EntropySegment segment = segments_.read(offset, limit);
    BitReader bits(segment);
    bits.refill();
    bits.consume(passed);
    if (const auto fault = decode_rows(coder, bits, segment, mcu, end)) throw *fault;
    mcu = end;
    if (mcu == interval_end && mcu != num_mcus_) {  // a restart marker
      warn_of_unread(bits, segment);
      if (segment.marker != marker::rst0 + static_cast<int>((mcu / interval - 1) % 8))
        refuse(segment.file_end, "no restart marker where the index has one");
      coder.restart();
      offset = segment.after_marker;
      passed = 0;
      if (mcu != to.mcu && offset < limit) continue;
      if (mcu != to.mcu || 8 * std::uint64_t{offset} != to.bit) refuse(offset, "a run of MCUs ends elsewhere than the index says");
    } else if (!has_end) {
      warn_of_unread(bits, segment);
      return;
    } else {
      const std::uint64_t bits_held = 8 * std::uint64_t{segment.size} - (8 - to.bit % 8) % 8;
      if (segment.marker != 0 || segment.file_end != limit || bits.consumed_bits() != bits_held)
        refuse(segment.file_end, "a run of MCUs ends elsewhere than the index says");
    }
    break;
  }
  for (std::size_t i = 0; i < scan_.components.size(); ++i) {
    if (static_cast<std::int16_t>(coder.components[i].dc_predictor) != to.dc_predictors[i])
      refuse(limit, "a run of MCUs ends with other DC predictors than the index says");
  }
}

ScanCheckpoints ScanDecoder::note_checkpoints(const ScanHeader& scan, const DecoderTables& tables, std::size_t offset,
                                              int every) {
  begin_scan(scan, tables);
  ScanCheckpoints noted;
  noted.data_begin = offset;
  if (image_.process == Process::progressive) {
    noted.data_end = skip_scan(offset);
    return noted;
  }
  noted.mcus_across = mcus_across_;
  noted.mcus_down = num_mcus_ / mcus_across_;
  noted.num_components = static_cast<std::uint8_t>(scan.components.size());
  SequentialScan<false> coder = sequential_coder<false>(tables);
  const auto interval = static_cast<std::uint64_t>(tables.restart_interval);
  const std::uint64_t step = every == 0 ? mcus_across_ : static_cast<std::uint64_t>(every);
  const auto note = [&](std::uint64_t mcu, std::uint64_t bit) {
    Checkpoint& point = noted.checkpoints.emplace_back(Checkpoint{.mcu = mcu, .bit = bit});
    for (std::size_t i = 0; i < scan.components.size(); ++i)
      point.dc_predictors[i] = static_cast<std::int16_t>(coder.components[i].dc_predictor);
  };
  EntropySegment segment = segments_.read(offset);
  int expected = 0;
  for (std::uint64_t mcu = 0; mcu < num_mcus_;) {
    const std::uint64_t end = interval == 0 ? num_mcus_ : std::min(num_mcus_, mcu + interval);
    coder.restart();
    BitReader bits(segment);
    std::size_t at = segment.file_begin, index = 0;  // the same byte in the file and in the segment
    const auto place = [&] {
      const auto next = static_cast<std::size_t>(bits.consumed_bits() / 8);
      at = segments_.advance(at, next - index);
      index = next;
      return 8 * std::uint64_t{at} + bits.consumed_bits() % 8;
    };
    while (mcu < end) {
      const std::uint64_t column = mcu % mcus_across_;
      if (column % step == 0) note(mcu, place());
      const std::uint64_t next = mcu - column + std::min(mcus_across_, (column / step + 1) * step);
      for (Slot& slot : slots_) slot.column = slot.columns = 0;  // no block is stored, nor named in a fault
      const std::uint64_t count = std::min(next, end) - mcu;
      if (const Stop stop = decode_mcus<true>(coder, bits, count); stop.slot != nullptr)
        throw describe(stop.status, bits, segment, *stop.slot);
      mcu += count;
    }
    warn_of_unread(bits, segment);
    if (mcu == num_mcus_) note(mcu, place());
    else resume(segment, mcu, expected, tables.restart_interval);
  }
  noted.data_end = segment.file_end;
  return noted;
}

// Restart markers are checkpoints of their own; the end of the last interval shows when it is decoded.
std::size_t ScanDecoder::decode_intervals(const ScanHeader& scan, const DecoderTables& tables, std::size_t offset,
                                          int num_threads) {
  begin_scan(scan, tables);
  const std::span<const std::uint8_t> file = segments_.file();
  const auto interval = static_cast<std::uint64_t>(tables.restart_interval);
  std::vector<Checkpoint> points{{.mcu = 0, .bit = 8 * std::uint64_t{offset}}};
  std::size_t at = offset;
  for (;;) {
    const auto* mark = at < file.size() ? static_cast<const std::uint8_t*>(
                                              std::memchr(file.data() + at, 0xFF, file.size() - at))
                                        : nullptr;
    if (mark == nullptr) refuse(file.size(), "the file ends inside a scan");
    at = segments_.behind_byte(static_cast<std::size_t>(mark - file.data()));
    const std::uint8_t code = file[at - 1];
    if (code == 0) continue;
    const std::uint64_t mcu = points.back().mcu + interval;
    if (mcu >= num_mcus_) {
      at = static_cast<std::size_t>(mark - file.data());
      break;
    }
    if (code != marker::rst0 + (points.size() - 1) % 8) refuse(at, "not the restart marker that must follow");
    points.push_back({.mcu = mcu, .bit = 8 * std::uint64_t{at}});
  }
  points.push_back({.mcu = num_mcus_, .bit = unknown_bit});
  ScanCheckpoints known;
  known.checkpoints = std::move(points);
  const std::vector<Run> runs = needed_runs(known);
  stop_mcu_ = num_mcus_;
  if (keeps_all()) decode_runs<false>(tables, runs, num_threads);
  else decode_runs<true>(tables, runs, num_threads);
  return at;
}

}  // namespace prepixel
