#include "bindings.hpp"

namespace prepixel {

void bind_jpeg(nanobind::module_& /*module*/) {}

}  // namespace prepixel
