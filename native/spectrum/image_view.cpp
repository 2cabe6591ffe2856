#include "spectrum/image_view.hpp"

#include "jpeg/decoder.hpp"
#include "packed/packed_image.hpp"

namespace prepixel {

bool is_linear(Color color) { return color == Color::gray || color == Color::ycbcr || color == Color::rgb; }

ImageView view_of(const Image& image) {
  ImageView view{image.height, image.width, image.orientation, image.color, {}};
  view.planes.reserve(image.components.size());
  for (const Component& component : image.components)
    view.planes.push_back({component.blocks.empty() ? nullptr : component.blocks.data()->data(), component.blocks_down,
                           component.blocks_across, component.height, component.width, component.sampling_v,
                           component.sampling_h, component.quantization});
  return view;
}

ImageView view_of(const ParsedHeader& header) {
  const Header& image = header.image;
  ImageView view{image.height, image.width, image.orientation, image.color, {}};
  const FrameGeometry geometry(image.height, image.width, header.frame.components);
  for (const FrameComponent& part : header.frame.components) {
    const PlaneSize size = geometry.plane(part.sampling_v, part.sampling_h);
    view.planes.push_back({nullptr, size.blocks_down, size.blocks_across, size.height, size.width, part.sampling_v,
                           part.sampling_h, {}});
  }
  return view;
}

ImageView view_of(const PackedImage& packed) {
  const Header& frame = packed.header;
  ImageView view{frame.height, frame.width, frame.orientation, frame.color, {}};
  for (const PackedComponent& component : packed.components) {
    const ComponentHeader& header = component.header;
    view.planes.push_back({nullptr, header.blocks_down, header.blocks_across, header.height, header.width,
                           header.sampling_v, header.sampling_h, header.quantization, &component});
  }
  return view;
}

}  // namespace prepixel
