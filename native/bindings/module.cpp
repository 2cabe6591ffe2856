#include "bindings/bindings.hpp"

NB_MODULE(_native, module) {
  module.doc() = "prepixel's compiled core: JPEG to quantized coefficients, coefficients to spectra";
  prepixel::bind_jpeg(module);
  prepixel::bind_spectrum(module);
  prepixel::bind_pack(module);
  prepixel::bind_index(module);
}
