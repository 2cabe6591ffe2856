// Shared by the binding files, the only ones that know Python.
#pragma once

#include <nanobind/nanobind.h>

#include <span>

#include "jpeg/types.hpp"

namespace prepixel {

void bind_jpeg(nanobind::module_& module);      // bindings_jpeg.cpp
void bind_spectrum(nanobind::module_& module);  // bindings_spectrum.cpp
void bind_pack(nanobind::module_& module);      // bindings_pack.cpp
void bind_index(nanobind::module_& module);     // index.cpp

// The exception of prepixel.errors that says what a fault says; for faults that are returned, not thrown. A JpegFault
// that leaves a bound function is raised as this by itself.
nanobind::object error_of(const JpegFault& fault);

// A header, and a whole image, as Python takes them.
nanobind::dict fields_of(const Header& header);
nanobind::dict fields_of(Image&& image);

// A Python object's contiguous bytes, for as long as this lives. Holds no copy; needs the GIL to be made and to end.
class ByteView {
 public:
  explicit ByteView(nanobind::handle object) {
    if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_SIMPLE) != 0) throw nanobind::python_error();
  }
  ~ByteView() { PyBuffer_Release(&view_); }
  ByteView(const ByteView&) = delete;
  ByteView& operator=(const ByteView&) = delete;
  std::span<const std::uint8_t> bytes() const {
    return {static_cast<const std::uint8_t*>(view_.buf), static_cast<std::size_t>(view_.len)};
  }

 private:
  Py_buffer view_{};
};

}  // namespace prepixel
