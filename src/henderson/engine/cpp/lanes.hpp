// A register of doubles: one grouping level (or one row) per lane.
//
// The width is that of the widest register of the instruction set a file is compiled for; every
// file that includes this defines HD_ISA, the namespace of that instruction set, so that no two
// builds of the same function are ever merged by the linker.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#ifndef HD_ISA
#error "define HD_ISA before including lanes.hpp"
#endif

namespace HD_ISA {

#if defined(__AVX512F__)
constexpr int WIDTH = 8;
#elif defined(__AVX2__)
constexpr int WIDTH = 4;
#else
constexpr int WIDTH = 2;
#endif

#if defined(__GNUC__)

typedef double Lanes __attribute__((vector_size(WIDTH * sizeof(double))));
typedef double LooseLanes __attribute__((vector_size(WIDTH * sizeof(double)), aligned(8)));

static inline Lanes load(const double* from) {
    return *reinterpret_cast<const LooseLanes*>(from);
}
static inline void store(double* to, Lanes a) {
    *reinterpret_cast<LooseLanes*>(to) = a;
}

#else

struct Lanes {
    double v[WIDTH];
    double& operator[](int i) { return v[i]; }
    double operator[](int i) const { return v[i]; }
};

#define HD_LANES_OPERATOR(op)                                      \
    static inline Lanes operator op(Lanes a, Lanes b) {            \
        for (int i = 0; i < WIDTH; i++) a.v[i] = a.v[i] op b.v[i]; \
        return a;                                                  \
    }                                                              \
    static inline Lanes& operator op## = (Lanes & a, Lanes b) {    \
        return a = a op b;                                         \
    }
HD_LANES_OPERATOR(+)
HD_LANES_OPERATOR(-)
HD_LANES_OPERATOR(*)
HD_LANES_OPERATOR(/)
#undef HD_LANES_OPERATOR

static inline Lanes load(const double* from) {
    Lanes a;
    for (int i = 0; i < WIDTH; i++) a.v[i] = from[i];
    return a;
}
static inline void store(double* to, Lanes a) {
    for (int i = 0; i < WIDTH; i++) to[i] = a.v[i];
}

#endif

static inline Lanes all(double value) {
    Lanes a;
    for (int i = 0; i < WIDTH; i++) a[i] = value;
    return a;
}

static inline Lanes root(Lanes a) {
    for (int i = 0; i < WIDTH; i++) a[i] = std::sqrt(a[i]);
    return a;
}

// Lane by lane: x where a > b, y elsewhere.
static inline Lanes where_above(Lanes a, Lanes b, Lanes x, Lanes y) {
    Lanes out;
    for (int i = 0; i < WIDTH; i++) out[i] = a[i] > b[i] ? x[i] : y[i];
    return out;
}

static inline double total(Lanes a) {
    double sum = 0.0;
    for (int i = 0; i < WIDTH; i++) sum += a[i];
    return sum;
}

static inline double largest(Lanes a) {
    double most = a[0];
    for (int i = 1; i < WIDTH; i++) most = a[i] > most ? a[i] : most;
    return most;
}

static inline double log_product(Lanes a) {
    double sum = 0.0;
    for (int i = 0; i < WIDTH; i++) sum += std::log(a[i]);
    return sum;
}

}  // namespace HD_ISA
