// What the passes over rows and over levels take and give: the door between the loops, which are
// compiled once per instruction set, and everything else.
#pragma once

#include <cstddef>
#include <cstdint>

namespace henderson {

using Index = std::ptrdiff_t;

constexpr int MAX_SIZE = 8;      // effects per level that the compiled loops handle
constexpr int MAX_EFFECTS = 16;  // and over all the factors of a model

constexpr int triangle(int k) {
    return k * (k + 1) / 2;
}

// Position of (i, j), i >= j or not, in a packed lower triangle.
constexpr int packed(int i, int j) {
    return i >= j ? triangle(i) + j : triangle(j) + i;
}

// A (rows, count) table anywhere in memory, strides in doubles.
struct Table {
    const double* data;
    std::ptrdiff_t row, column;
    int count;
};

// Grouping codes, 32 or 64 bits.
struct Codes {
    const void* data;
    std::ptrdiff_t stride;
    bool wide;
};

// Rows [x y | z] with the linear maps that bring them to standard coordinates:
// q = x to_q, r = (y - q coef) / scale, z~ = z to_z (upper triangular maps; null for none).
struct Rows {
    Index n;
    Table x, y, z;
    const double* weights;  // or null
    std::ptrdiff_t weight_stride;
    const double* to_q;  // (p, p)
    const double* coef;  // (p,)
    double y_scale;
    const double* to_z;  // (K, K)
};

// Levels in blocks of `width`, so that lane l of block b is level b width + l; the last block is
// filled up with zeros, which add nothing to any sum. shared: per block C (K K) then T_x (K p);
// y: per block T_y (K). Each entry is `width` doubles.
struct Levels {
    Index blocks;
    int size, p;
    const double* shared;
    const double* y;
};

// Sums over levels that need no estimate of beta: W = T'(I + C'Sigma C)^-1 T, packed, (p + 1).
struct FirstSums {
    double* products;
    double log_det;
};

// Sums over levels given beta, s2 and the inverse Cholesky factor of X'V^-1X. With G, h = Z'Py and
// E = Z'V^-1X R^-1 per level, t(i, j) a packed pair, Q = -G + 2 [reml] EE' + 2 hh' / s2:
struct SecondSums {
    double* trace;      // t: G - [reml] EE'
    double* quadratic;  // t: hh'
    double* fourth;     // (t, t'): G_t Q_t'
    double* mixed;      // (t, p): E_i h_j + E_j h_i
    double* outer;      // (t, packed p): E_i E_j' + E_j E_i'; null where not wanted
};

struct SecondInput {
    const double* beta;       // (p,)
    const double* r_inverse;  // (p, p) upper triangular
    double inverse_s2;
    bool reml;
};

constexpr double NO_PIVOT = 1e-12;  // a pivot below this part of its diagonal entry is rounding

// The sets A_k of a level in the blocks of `Levels`: between columns of Z (packed K), and between
// them and [X y] (K, p + 1).
struct Sets {
    const double* data;
    int count, size, p;
};

inline int set_length(int size, int p) { return triangle(size) + size * (p + 1); }

// extra: parameters phi of the residuals; weights (extra, count): dc/dphi.
struct BendInput {
    const double* beta;
    const double* r_inverse;
    double inverse_s2;
    bool reml;
    int extra;
    const double* weights;

    // W_x = [R^-1, -beta; 0, 1].
    double w(int p, int i, int d) const {
        if (i == p) return d == p ? 1.0 : 0.0;
        return d < p ? r_inverse[i * p + d] : -beta[i];
    }
};

// Sums over levels without what is between columns of [X y]; the names are those of
// structured_passes.hpp.
struct BendSums {
    double* each;    // set: <N, A_k>, N = K + [reml] W_xW_x' + W_yW_y' / s2
    double* forms;   // (a, packed p + 1): W'A_aW
    double* second;  // (a, b <= a): tr(K A_a K A_b) + 2 [reml] tr(B_ax'K B_bx) + 2 b_a'K b_b / s2
    double* mixed;   // (a, t): L A_a L' - [reml] (L B_ax E' + transpose) - (L b_a h' + ...) / s2
};

struct Passes {
    int width;
    // Packed Gram matrix of [q r] (p + 1) added to xy, of z~ (K) added to zz; either may be null.
    void (*gram)(const Rows&, double* xy, double* zz, double* work);
    // The same sums, and per level [packed z~z~' | z~ (q r)] added to `records`; xy may be null.
    // The return value is false if a code is outside 0..n_levels-1.
    bool (*levels)(const Rows&, const Codes&, Index n_levels, double* records, double* xy,
                   double* work);
    // factor: M (K, K) with Sigma = M M'. Blocks [from, to) are added to the sums.
    void (*first)(const Levels&, const double* factor, Index from, Index to, FirstSums&,
                  double* work);
    void (*second)(const Levels&, const double* factor, const SecondInput&, Index from, Index to,
                   SecondSums&, double* work);
    // C and T of every level at one phi into the arrays of `Levels`; T'T is added to `taken`
    // (packed p + 1).
    void (*reduce)(const Sets&, const double* weights, Index from, Index to, double* shared,
                   double* y, double* taken, double* work);
    void (*bend)(const Sets&, const Levels&, const double* factor, const BendInput&, Index from,
                 Index to, BendSums&, double* work);
};

// Doubles of scratch memory (aligned to 64 bytes) that a pass may use.
std::size_t row_work(int p, int size);
std::size_t level_work(int p, int size);
std::size_t structured_work(int p, int size, int sets, int extra);

// The passes for this processor.
const Passes& passes();
const char* instruction_set();

}  // namespace henderson
