// The names that Python and the page have for kinds of JPEGs.
#pragma once

#include "jpeg/types.hpp"

namespace prepixel {

inline const char* name_of(Color color) {
  switch (color) {
    case Color::gray: return "gray";
    case Color::ycbcr: return "ycbcr";
    case Color::rgb: return "rgb";
    case Color::cmyk: return "cmyk";
    case Color::ycck: return "ycck";
    case Color::unknown: break;
  }
  return "unknown";
}

inline const char* name_of(Process process) {
  switch (process) {
    case Process::baseline: return "baseline";
    case Process::extended: return "extended";
    case Process::progressive: break;
  }
  return "progressive";
}

}  // namespace prepixel
