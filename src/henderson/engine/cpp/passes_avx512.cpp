// The passes for AVX-512.
#define HD_ISA henderson_avx512
#include "passes_isa.hpp"
