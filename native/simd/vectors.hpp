// Vector types of fixed sizes, by the extension of GCC and Clang; each level compiles them to its own registers.
#pragma once

#include <cstdint>
#include <cstring>

#define PREPIXEL_INLINE [[gnu::always_inline]] inline

namespace prepixel {

using Half8 = std::int16_t __attribute__((vector_size(16)));
using Float8 = float __attribute__((vector_size(32)));
using Double8 = double __attribute__((vector_size(64)));
using Byte32 = std::int8_t __attribute__((vector_size(32)));

// By reference: the calling convention of wide vectors depends on the instruction set.
template <class Vector, class Element>
PREPIXEL_INLINE void load(Vector& vector, const Element* from) {
  std::memcpy(&vector, from, sizeof vector);
}

template <class Vector, class Element>
PREPIXEL_INLINE void store(Element* to, const Vector& vector) {
  std::memcpy(to, &vector, sizeof vector);
}

// Transpose 8 x 8 by three rounds of interleaving.
template <class Vector>
PREPIXEL_INLINE void transpose_8x8(Vector (&rows)[8]) {
  Vector interleaved[8];
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 4; ++i) {
      interleaved[2 * i] = __builtin_shufflevector(rows[i], rows[i + 4], 0, 8, 1, 9, 2, 10, 3, 11);
      interleaved[2 * i + 1] = __builtin_shufflevector(rows[i], rows[i + 4], 4, 12, 5, 13, 6, 14, 7, 15);
    }
    for (int i = 0; i < 8; ++i) rows[i] = interleaved[i];
  }
}

}  // namespace prepixel
