#include "bindings.hpp"

namespace prepixel {

void bind_spectrum(nanobind::module_& /*module*/) {}

}  // namespace prepixel
