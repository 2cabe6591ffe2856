#include "axis_map.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace prepixel {

namespace {

// cos(k pi / 16), k = 0..8; written out so that every machine has the same.
constexpr std::array<double, 9> cosines = {1.0,
                                           0.98078528040323044913,
                                           0.92387953251128675613,
                                           0.83146961230254523708,
                                           0.70710678118654752440,
                                           0.55557023301960222474,
                                           0.38268343236508977173,
                                           0.19509032201612826785,
                                           0.0};

constexpr double cosine(int sixteenths) {
  const int k = sixteenths % 32;
  if (k <= 8) return cosines[static_cast<std::size_t>(k)];
  if (k <= 16) return -cosines[static_cast<std::size_t>(16 - k)];
  if (k <= 24) return -cosines[static_cast<std::size_t>(k - 16)];
  return cosines[static_cast<std::size_t>(32 - k)];
}

// basis[x][u]: the orthonormal 8-point DCT-II. Source: T.81, A.3.3.
constexpr std::array<std::array<double, 8>, 8> basis = [] {
  std::array<std::array<double, 8>, 8> table{};
  for (int x = 0; x < 8; ++x)
    for (int u = 0; u < 8; ++u)
      table[static_cast<std::size_t>(x)][static_cast<std::size_t>(u)] =
          u == 0 ? cosines[4] / 2 : cosine((2 * x + 1) * u) / 2;
  return table;
}();

double triangle(double distance) { return std::max(0.0, 1 - distance); }

// Keys's cubic kernel for a = -1/2. Source: Keys 1981, equation 15.
double catmull_rom(double distance) {
  if (distance < 1) return (1.5 * distance - 2.5) * distance * distance + 1;
  if (distance < 2) return ((-0.5 * distance + 2.5) * distance - 4) * distance + 2;
  return 0;
}

// The samples that one output sample is made from, and their weights, which sum to 1.
struct Taps {
  int first = 0;
  std::vector<double> weights;
};

class Resizer {
 public:
  Resizer(const AxisCrop& crop, int num_outputs, Filter filter)
      : start_(crop.start), step_(crop.length / num_outputs), filter_(filter) {
    // Crop first, then resize: only samples that overlap the crop are read. A box may stick out by a rounding error.
    const double end = std::ceil(crop.start + crop.length);
    first_ = static_cast<int>(std::clamp(std::floor(crop.start), 0.0, crop.num_samples - 1.0));
    stop_ = static_cast<int>(std::clamp(end, first_ + 1.0, static_cast<double>(crop.num_samples)));
    stretch_ = std::max(1.0, step_);
    reach_ = (filter == Filter::bilinear ? 1 : 2) * stretch_;
  }

  int first() const { return first_; }
  int stop() const { return stop_; }

  void fill(int output, Taps& taps) const {
    const double centre = start_ + (output + 0.5) * step_;
    const int low = static_cast<int>(std::clamp(std::floor(centre - reach_ - 0.5), first_ + 0.0, stop_ - 1.0));
    const int high = static_cast<int>(std::clamp(std::ceil(centre + reach_ + 0.5), low + 1.0, stop_ + 0.0));
    taps.first = low;
    taps.weights.clear();
    double sum = 0;
    for (int j = low; j < high; ++j) {
      const double distance = std::abs(j + 0.5 - centre) / stretch_;
      taps.weights.push_back(filter_ == Filter::bilinear ? triangle(distance) : catmull_rom(distance));
      sum += taps.weights.back();
    }
    // Zeros at the ends would only widen the band.
    while (taps.weights.size() > 1 && taps.weights.back() == 0) taps.weights.pop_back();
    const auto begin = std::find_if(taps.weights.begin(), taps.weights.end() - 1, [](double w) { return w != 0; });
    taps.first += static_cast<int>(begin - taps.weights.begin());
    taps.weights.erase(taps.weights.begin(), begin);
    for (double& weight : taps.weights) weight /= sum;
  }

 private:
  double start_;
  double step_;
  double stretch_ = 1;
  double reach_ = 1;
  Filter filter_;
  int first_ = 0;
  int stop_ = 0;
};

// D_out: the lowest frequencies of 8 rows of 8, rounded to float.
void keep_frequencies(const double* rows, std::size_t stride, int num_frequencies, bool reverse, float* out) {
  for (std::size_t k = 0; k < static_cast<std::size_t>(num_frequencies); ++k, out += 8) {
    double sums[8] = {};
    for (std::size_t i = 0; i < 8; ++i)
      for (std::size_t u = 0; u < 8; ++u) sums[u] += basis[i][k] * rows[i * stride + u];
    // Mirroring a block negates its odd frequencies.
    const double sign = reverse && k % 2 == 1 ? -1 : 1;
    for (std::size_t u = 0; u < 8; ++u) out[u] = static_cast<float>(sign * sums[u]);
  }
}

}  // namespace

AxisMap::AxisMap(const AxisCrop& crop, int grid, int num_frequencies, Filter filter)
    : frequencies_(num_frequencies), reverse_(crop.reverse) {
  const Resizer resizer(crop, 8 * grid, filter);
  first_block_ = resizer.first() / 8;
  num_blocks_ = (resizer.stop() + 7) / 8 - first_block_;
  steps_.reserve(static_cast<std::size_t>(grid));
  std::array<Taps, 8> taps;
  std::vector<double> from_coefficients;          // [sample][input block][frequency]
  for (int s = 0; s < grid; ++s) {
    int first = num_blocks_, last = 0;
    for (int i = 0; i < 8; ++i) {
      Taps& tap = taps[static_cast<std::size_t>(i)];
      resizer.fill(8 * s + i, tap);
      first = std::min(first, tap.first / 8 - first_block_);
      last = std::max(last, (tap.first + static_cast<int>(tap.weights.size()) - 1) / 8 - first_block_);
    }
    const int blocks = last - first + 1;
    const std::size_t row = static_cast<std::size_t>(blocks) * 8;
    from_coefficients.assign(8 * row, 0.0);
    for (std::size_t i = 0; i < 8; ++i) {         // A D_in^T
      int position = taps[i].first - 8 * (first + first_block_);
      for (const double weight : taps[i].weights) {
        double* out = from_coefficients.data() + i * row + static_cast<std::size_t>(position & ~7);
        const auto& samples = basis[static_cast<std::size_t>(position & 7)];
        for (std::size_t u = 0; u < 8; ++u) out[u] += weight * samples[u];
        ++position;
      }
    }
    steps_.push_back({first, blocks, weights_.size()});
    num_matrices_ += blocks;
    const std::size_t matrix = 8 * static_cast<std::size_t>(num_frequencies);
    weights_.resize(weights_.size() + static_cast<std::size_t>(blocks) * matrix);
    float* out = weights_.data() + steps_.back().weights;
    for (std::size_t b = 0; b < static_cast<std::size_t>(blocks); ++b, out += matrix)
      keep_frequencies(from_coefficients.data() + 8 * b, row, num_frequencies, reverse_, out);
  }
}

}  // namespace prepixel
