// Processor features and instruction set levels. This is the only place that queries the processor.
//
// Kernels are compiled once per level, each level in one file (portable.cpp, avx2.cpp, avx512.cpp, neon.cpp), and
// selected at run time. All levels give the same bits.
#pragma once

#if defined(__x86_64__)
#define PREPIXEL_X86 1
#else
#define PREPIXEL_X86 0
#endif

#if defined(__aarch64__)
#define PREPIXEL_ARM64 1
#else
#define PREPIXEL_ARM64 0
#endif

namespace prepixel {

struct CpuFeatures {
  bool avx2 = false;          // with BMI2 and POPCNT
  bool avx512 = false;        // F, BW, VL and DQ, with all of the above
  bool neon = false;
  bool fast_deposit = false;  // PDEP is fast; on some processors it is microcode, slower than a loop
};

const CpuFeatures& cpu_features();

// portable: what the compiler generates for the oldest processor of the architecture (x86-64: SSE2).
enum class Simd : unsigned char { portable, avx2, avx512, neon };
inline constexpr Simd simd_levels[] = {Simd::portable, Simd::avx2, Simd::avx512, Simd::neon};

bool has_simd(Simd level);  // on this machine
Simd best_simd();
const char* name_of(Simd level);

}  // namespace prepixel
