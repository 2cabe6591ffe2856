// What a web page calls: open a JPEG, see its planes, resample it. Answers are JSON texts, valid until the next call.
// Built by Emscripten alone, for one thread; the page is in web/.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "jpeg/decoder.hpp"
#include "jpeg/names.hpp"
#include "spectrum/resampler.hpp"

namespace prepixel {

namespace {

// Half of the address space's 2 GiB is for planes; the file, its copy without stuffed bytes and work space share the rest.
constexpr std::uint64_t most_memory_bytes = 1ull << 30;
constexpr std::uint32_t most_file_bytes = 256u << 20;
constexpr int most_grid = 512;

struct Photo {
  Image image;
  ImageView view;
};

// A JSON object under construction.
class Json {
 public:
  Json& number(const char* key, double value) { return raw(key, shortest(value)); }
  Json& text(const char* key, const std::string& value) { return raw(key, quoted(value)); }
  Json& raw(const char* key, const std::string& value) {
    body_ += (body_.empty() ? "" : ",") + quoted(key) + ":" + value;
    return *this;
  }
  std::string str() const { return "{" + body_ + "}"; }

  static std::string quoted(const std::string& text) {
    static const char* const digits = "0123456789abcdef";
    std::string out = "\"";
    for (const char c : text) {
      const auto code = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\') out += '\\';
      if (code < 0x20) out += std::string("\\u00") + digits[code >> 4] + digits[code & 15];
      else out += c;
    }
    return out + "\"";
  }

 private:
  static std::string shortest(double value) {  // whole numbers: sizes, offsets, addresses
    return std::to_string(static_cast<std::int64_t>(value));
  }

  std::string body_;
};

template <class Items, class Write>
std::string list_of(const Items& items, const Write& write) {
  std::string out;
  for (const auto& item : items) out += (out.empty() ? "" : ",") + write(item);
  return "[" + out + "]";
}

std::string& answer() {
  static std::string text;
  return text;
}

const char* answered(std::string text) {
  answer() = std::move(text);
  return answer().c_str();
}

const char* kind_of(Fault fault) {
  switch (fault) {
    case Fault::malformed: return "malformed";
    case Fault::damaged: return "damaged";
    case Fault::truncated: return "truncated";
    case Fault::unsupported: return "unsupported";
    case Fault::limit: return "limit";
    default: return "internal";
  }
}

const char* failed(const char* kind, const std::string& what, const std::string& hint = {}, std::size_t offset = no_offset) {
  Json error;
  error.text("kind", kind).text("what", what).text("hint", hint);
  if (offset != no_offset) error.number("offset", static_cast<double>(offset));
  return answered(Json().raw("error", error.str()).str());
}

// Turn what `work` throws into an answer.
template <class Work>
const char* attempt(const Work& work) {
  try {
    return retry_after_release(work);
  } catch (const JpegFault& fault) {
    return failed(kind_of(fault.kind), fault.what(), fault.hint, fault.byte_offset);
  } catch (const std::bad_alloc&) {
    return failed("limit", "the photo takes more memory than a page has", "Take a smaller photo");
  } catch (const std::exception& error) {
    return failed("internal", error.what());
  }
}

double address_of(const void* pointer) { return static_cast<double>(reinterpret_cast<std::uintptr_t>(pointer)); }

std::string described(const Component& component) {
  return Json()
      .number("height", component.height)
      .number("width", component.width)
      .number("blocksDown", component.blocks_down)
      .number("blocksAcross", component.blocks_across)
      .number("samplingV", component.sampling_v)
      .number("samplingH", component.sampling_h)
      .number("blocks", address_of(component.blocks.data()))
      .raw("quantization", list_of(component.quantization, [](std::uint16_t step) { return std::to_string(step); }))
      .str();
}

std::string described(const Photo& photo) {
  const Image& image = photo.image;
  const bool transposed = image.orientation >= 5;
  return Json()
      .number("photo", address_of(&photo))
      .number("height", transposed ? image.width : image.height)
      .number("width", transposed ? image.height : image.width)
      .number("orientation", image.orientation)
      .number("scans", image.num_scans)
      .text("color", name_of(image.color))
      .text("process", name_of(image.process))
      .raw("linear", is_linear(image.color) ? "true" : "false")
      .raw("warnings", list_of(image.warnings, Json::quoted))
      .raw("components", list_of(image.components, [](const Component& one) { return described(one); }))
      .str();
}

}  // namespace

extern "C" {

// The answer is {}, or "error": a file of so many bytes is not read.
const char* prepixel_check_size(double bytes) {
  return attempt([&] {
    if (bytes <= most_file_bytes) return answered("{}");
    return failed("limit",
                  "a file of " + std::to_string(static_cast<std::uint64_t>(bytes)) + " bytes, more than the " +
                      std::to_string(most_file_bytes) + " that this page reads",
                  "Take a smaller photo");
  });
}

// Decode a file, whose bytes may be freed afterwards. The answer has either "error" or the photo's address and planes.
const char* prepixel_open(const std::uint8_t* file, std::size_t size) {
  return attempt([&] {
    auto photo = std::make_unique<Photo>();
    photo->image = decode({file, size}, {.limits = {.max_memory_bytes = most_memory_bytes}});
    photo->view = view_of(photo->image);
    return answered(described(*photo.release()));
  });
}

void prepixel_close(Photo* photo) {
  delete photo;
  release_memory();
}

// Write `count` channels of a crop, upright and resized to the grid, to `out`: value = coefficient * factor + offset.
// `channels` are ids, component * 64 + 8 * v + u. The answer is {} or has "error".
const char* prepixel_resample(const Photo* photo, int grid_down, int grid_across, int bicubic, int int8, double top,
                              double left, double height, double width, int count, const int* channels,
                              const float* factors, const float* offsets, void* out) {
  return attempt([&] {
    if (std::max(grid_down, grid_across) > most_grid) throw std::invalid_argument("a page's grid has 512 blocks at most");
    const auto size = static_cast<std::size_t>(count);
    SpectrumRequest request{.grid_down = grid_down,
                            .grid_across = grid_across,
                            .filter = bicubic != 0 ? Filter::bicubic : Filter::bilinear,
                            .channels = {},
                            .factors = {factors, factors + size},
                            .offsets = {offsets, offsets + size},
                            .int8 = int8 != 0};
    for (std::size_t i = 0; i < size; ++i)
      request.channels.push_back({channels[i] / 64, channels[i] % 64 / 8, channels[i] % 8});
    request.check();
    DctResampler(request).make(photo->view, {.box = Box{top, left, height, width}}, out);
    return answered("{}");
  });
}

}  // extern "C"

}  // namespace prepixel
