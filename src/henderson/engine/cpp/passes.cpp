// Which build of the passes this processor gets, decided once.
#include "passes.hpp"

#include <cstdlib>
#include <cstring>

#define HD_DECLARE(isa)                   \
    namespace isa {                       \
    extern const henderson::Passes table; \
    }

HD_DECLARE(henderson_base)
#if defined(HENDERSON_X86)
HD_DECLARE(henderson_avx2)
HD_DECLARE(henderson_avx512)
#endif

namespace henderson {

namespace {

struct Choice {
    const Passes* passes;
    const char* name;
};

Choice choose() {
#if defined(HENDERSON_X86)
    const char* wanted = std::getenv("HENDERSON_ISA");
    const bool any = wanted == nullptr;
    if (__builtin_cpu_supports("avx512f") && (any || !std::strcmp(wanted, "avx512")))
        return {&henderson_avx512::table, "avx512"};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        (any || !std::strcmp(wanted, "avx512") || !std::strcmp(wanted, "avx2")))
        return {&henderson_avx2::table, "avx2"};
#endif
    return {&henderson_base::table, "base"};
}

const Choice& chosen() {
    static const Choice choice = choose();
    return choice;
}

}  // namespace

std::size_t row_work(int p, int size) {
    return 256 * static_cast<std::size_t>(p + size + 2);
}

std::size_t level_work(int p, int size) {
    const std::size_t pairs = triangle(size), square = triangle(p + 1);
    return 8 * (pairs * (2 + pairs + p + square) + square + 2 * (p + 1) * size);
}

std::size_t structured_work(int p, int size, int sets, int extra) {
    const std::size_t width = p + 1, k = size, m = extra;
    return 8 * (sets + m * (triangle(width) + m + triangle(size)) + 2 * set_length(size, p) +
                width * width + triangle(width) + 3 * k * width + m * k * (2 * width + k));
}

const Passes& passes() {
    return *chosen().passes;
}
const char* instruction_set() {
    return chosen().name;
}

}  // namespace henderson
