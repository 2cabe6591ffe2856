// Fused: quantized coefficients -> dequantized, cropped, resized, mirrored, upright, in YCbCr, chosen frequencies,
// scaled.
//
// One banded linear map per axis and component; no pixel is formed. The result depends on the image, the box, the flip
// and the request alone: not on threads, not on the instruction set, not on what a workspace was used for before.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "spectrum/axis_map.hpp"
#include "jpeg/types.hpp"
#include "jpeg/frequency_mask.hpp"
#include "simd/spectrum_kernels.hpp"

namespace prepixel {

// In luma pixels of the upright image; pixel y covers [y, y + 1).
struct Box {
  double top = 0;
  double left = 0;
  double height = 0;
  double width = 0;
};

struct PackedImage;
struct PackedComponent;

// A component's plane, wherever it lies.
struct PlaneView {
  const std::int16_t* blocks = nullptr;           // row by row, 64 coefficients each
  int blocks_down = 0;
  int blocks_across = 0;
  int height = 0;                                 // true samples
  int width = 0;
  int sampling_v = 1;
  int sampling_h = 1;
  std::array<std::uint16_t, 64> quantization{};
  const PackedComponent* packed = nullptr;        // instead of blocks
};

struct ImageView {
  int height = 0;                                 // as stored
  int width = 0;
  int orientation = 1;
  Color color = Color::ycbcr;
  std::vector<PlaneView> planes;
};

ImageView view_of(const Image& image);  // of an image without blocks, too
ImageView view_of(const PackedImage& packed);

// The blocks of each component that a spectrum of the box is made from; `box` null: the whole image. Of an image that
// no spectrum can be made of, or with a box that is none, all blocks: making it says what is wrong.
std::vector<BlockRegion> needed_blocks(const ImageView& image, const Box* box);

struct Channel {
  int component;                                  // Y, Cb, Cr
  int v;
  int u;
};

// What is wanted of every image of a batch.
struct SpectrumRequest {
  int grid_down = 0;                              // blocks of the upright result
  int grid_across = 0;
  Filter filter = Filter::bilinear;
  std::vector<Channel> channels;
  std::vector<float> factors;                     // value = coefficient * factor + offset, channel by channel
  std::vector<float> offsets;
  bool int8 = false;                              // then rounded half to even and clipped to +-127; float32 otherwise
  Simd simd = best_simd();

  std::size_t num_values() const;                 // of one image
  void check() const;                             // std::invalid_argument where it is not one
};

constexpr int max_grid = 4096;                    // blocks along an axis
constexpr int max_side = 1 << 20;                 // samples along an axis

// Whether coefficients lead to YCbCr at all; CMYK and YCCK images take the RGB pipeline.
bool is_linear(Color color);

struct StoredView;  // what is asked for, in stored axes: spectrum.cpp

// A worker's own: holds the buffers that images are computed in, one after the other.
class DctResampler {
 public:
  explicit DctResampler(const SpectrumRequest& request);  // which outlives it
  DctResampler(const DctResampler&) = delete;
  DctResampler& operator=(const DctResampler&) = delete;

  // Write one image: [channel][block row][block column] of float or std::int8_t. `box` null: the whole image.
  // std::invalid_argument: the box is none, or outside the image. JpegFault: the color is not linear.
  void make(const ImageView& image, const Box* box, bool flip, void* out);

 private:
  // Grows, never shrinks; a cache line aligned.
  class Buffer {
   public:
    float* reserve(std::size_t count);

   private:
    struct Free {
      void operator()(float* floats) const;
    };
    std::unique_ptr<float[], Free> floats_;
    std::size_t capacity_ = 0;
  };

  // A wanted channel's frequency in stored axes, and what its plane counts for.
  struct Wanted {
    std::size_t channel;
    int v;
    int u;
    float weight;
  };

  // Steps of the first axis that are computed at once, from lines of `width` numbers along the second.
  struct Strip {
    int begin;
    int end;
    std::size_t width;
  };

  // Where such a line holds frequency f of block b: at b * block_step + f * tap_step, f below most_taps.
  struct LineOrder {
    std::size_t block_step;
    std::size_t tap_step;
    int most_taps;
  };

  void make_plane(const PlaneView& plane, const StoredView& view, std::span<const Wanted> wanted);
  void run_strip(const PlaneView& plane, bool rows_first, const Strip& strip);
  void load_packed(const PackedComponent& component, bool rows_first);
  void run_packed_strip(const PlaneView& plane, bool rows_first, const Strip& strip);
  void begin_strip(const Strip& strip);
  BlockSpan blocks_under(const Strip& strip) const;
  void add_line(const Strip& strip, int block, unsigned occupied);
  void apply_second(const Strip& strip, const LineOrder& order);
  std::size_t lines_along_first() const;
  int output_under(const Strip& strip) const;     // the lowest
  void write_strip(std::span<const Wanted> wanted, bool rows_first, bool transposed, const Strip& strip);
  void write(const Wanted& wanted, const float* values, int row, int column, std::size_t count);
  void write_zeros(std::size_t channel);
  void write_sums();
  const AxisMap& axis_map(const AxisCrop& crop, int grid, int frequencies);

  const SpectrumRequest& request_;
  const Kernels& kernels_;
  void* out_ = nullptr;

  // Components of one geometry share their maps; they last for one image.
  struct KnownMap {
    AxisCrop crop;
    int grid;
    int frequencies;
    std::unique_ptr<AxisMap> map;
  };
  std::vector<KnownMap> maps_;

  // The plane at work. First axis: that whose map is applied first.
  const AxisMap* first_ = nullptr;
  const AxisMap* second_ = nullptr;
  int first_frequencies_ = 0;
  int second_frequencies_ = 0;
  std::size_t strip_ = 0;                         // output blocks of the first axis at a time, a multiple of 8

  Buffer lines_, row_pass_, transposed_, column_pass_, tile_, sums_;
  std::vector<std::int16_t> used_;

  // A packed plane at work: what the crop holds of each frequency, in lines along the second axis.
  struct PackedLines {
    int first;                                    // frequency along the first axis, along the second
    int second;
    std::vector<std::int16_t> values;
  };
  std::vector<PackedLines> packed_;
  std::size_t num_packed_ = 0;
  int packed_seconds_ = 0;                        // 1 + the highest frequency along the second axis

  bool sum_channels_ = false;                     // RGB: three planes add up to each channel
  std::array<float, 64> table_{};
};

}  // namespace prepixel
