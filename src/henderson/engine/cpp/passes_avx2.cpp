// The passes for AVX2 with fused multiply-add.
#define HD_ISA henderson_avx2
#include "passes_isa.hpp"
