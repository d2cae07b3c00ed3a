// The passes for the baseline instruction set of the platform.
#define HD_ISA henderson_base
#include "passes_isa.hpp"
