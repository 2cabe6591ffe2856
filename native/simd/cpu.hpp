// What the processor can do, asked in one place. Every kernel gives the same bits at every level.
#pragma once

#if defined(__x86_64__)
#define PREPIXEL_X86 1
#else
#define PREPIXEL_X86 0
#endif

namespace prepixel {

struct CpuFeatures {
  bool avx2 = false;
  bool avx2_bmi2 = false;   // with BMI2 and POPCNT
  bool avx512 = false;      // F, BW, VL and DQ
  bool fast_deposit = false;  // PDEP is an instruction, not microcode that is slower than a loop
};

const CpuFeatures& cpu_features();

}  // namespace prepixel
