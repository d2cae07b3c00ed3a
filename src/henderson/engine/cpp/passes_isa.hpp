// One table of passes for the instruction set that the including file is compiled for.
#pragma once

#include "level_passes.hpp"
#include "row_passes.hpp"
#include "structured_passes.hpp"

namespace HD_ISA {

extern const henderson::Passes table;
const henderson::Passes table = {WIDTH, gram, levels, first, second, reduce, bend};

}  // namespace HD_ISA
