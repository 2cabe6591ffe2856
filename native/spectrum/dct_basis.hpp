// The orthonormal 8-point DCT-II. Source: ITU-T T.81, A.3.3.
#pragma once

#include <array>
#include <cstddef>

namespace prepixel {

// cos(k pi / 16), k = 0..8; literals, so that every machine has the same values.
inline constexpr std::array<double, 9> cosines = {1.0,
                                           0.98078528040323044913,
                                           0.92387953251128675613,
                                           0.83146961230254523708,
                                           0.70710678118654752440,
                                           0.55557023301960222474,
                                           0.38268343236508977173,
                                           0.19509032201612826785,
                                           0.0};

constexpr double cosine(int sixteenths) {
  const int k = sixteenths % 32;
  if (k <= 8) return cosines[static_cast<std::size_t>(k)];
  if (k <= 16) return -cosines[static_cast<std::size_t>(16 - k)];
  if (k <= 24) return -cosines[static_cast<std::size_t>(k - 16)];
  return cosines[static_cast<std::size_t>(32 - k)];
}

// basis[x][u]: frequency u at sample x.
inline constexpr std::array<std::array<double, 8>, 8> dct_basis = [] {
  std::array<std::array<double, 8>, 8> table{};
  for (int x = 0; x < 8; ++x)
    for (int u = 0; u < 8; ++u)
      table[static_cast<std::size_t>(x)][static_cast<std::size_t>(u)] =
          u == 0 ? cosines[4] / 2 : cosine((2 * x + 1) * u) / 2;
  return table;
}();

}  // namespace prepixel
