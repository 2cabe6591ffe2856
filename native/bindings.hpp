// Shared by the binding files, the only ones that know Python.
#pragma once

#include <nanobind/nanobind.h>

namespace prepixel {

void bind_jpeg(nanobind::module_& module);      // bindings_jpeg.cpp
void bind_spectrum(nanobind::module_& module);  // bindings_spectrum.cpp

}  // namespace prepixel
