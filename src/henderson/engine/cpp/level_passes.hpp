// Sums over the levels of one grouping factor: the inner loops of the criterion and its exact
// first and second derivatives.
//
// Per level, with H = I + C'Sigma C = L L': Y = L^-1 C', W = L^-1 T, and
//   G = Z'V^-1Z = Y'Y,   F = Z'V^-1[X y] = Y'W,   log|V| = log|H|.
#pragma once

#include "lanes.hpp"
#include "passes.hpp"

namespace HD_ISA {

using henderson::Index;
using henderson::Levels;
using henderson::packed;
using henderson::triangle;

// The factored level: FIXED is the number of effects, 0 for one known at run time only.
template <int FIXED>
struct Level {
    static constexpr int MOST = FIXED ? FIXED : henderson::MAX_SIZE;
    int size;
    const Lanes* c;
    Lanes lower[MOST][MOST];  // L, with inverse[i] = 1 / L_ii
    Lanes inverse[MOST];

    int k() const { return FIXED ? FIXED : size; }

    // Factor H; `pivots` collects the product of the diagonal of L.
    void factor(const Lanes* roots, const double* m, Lanes& pivots) {
        c = roots;
        Lanes half[MOST][MOST];  // C'M
        for (int i = 0; i < k(); i++)
            for (int j = 0; j < k(); j++) {
                Lanes sum = c[i] * all(m[j]);
                for (int l = 1; l < k(); l++) sum += c[l * k() + i] * all(m[l * k() + j]);
                half[i][j] = sum;
            }
        for (int j = 0; j < k(); j++) {
            for (int i = j; i < k(); i++) {
                Lanes sum = all(i == j ? 1.0 : 0.0);
                for (int l = 0; l < k(); l++) sum += half[i][l] * half[j][l];
                for (int l = 0; l < j; l++) sum -= lower[i][l] * lower[j][l];
                if (i == j) {
                    Lanes pivot = root(sum);
                    pivots *= pivot;
                    inverse[j] = all(1.0) / pivot;
                } else {
                    lower[i][j] = sum * inverse[j];
                }
            }
        }
    }

    // Solve L w = t for a column t of `step` spacing.
    void solve(const Lanes* t, int step, Lanes* w) const {
        for (int i = 0; i < k(); i++) {
            Lanes sum = t[i * step];
            for (int l = 0; l < i; l++) sum -= lower[i][l] * w[l];
            w[i] = sum * inverse[i];
        }
    }

    // Y = L^-1 C', column by column: y[j][i] = Y_ij.
    void transposed_root(Lanes y[MOST][MOST]) const {
        for (int j = 0; j < k(); j++) solve(c + j * k(), 1, y[j]);
    }
};

template <int FIXED>
void first_pass(const Levels& levels, const double* m, Index from, Index to,
                henderson::FirstSums& sums, double* work) {
    const int k = FIXED ? FIXED : levels.size, p = levels.p, q = p + 1;
    const Index step = static_cast<Index>(k) * (k + p);
    Lanes* acc = reinterpret_cast<Lanes*>(work);
    Lanes* w = acc + triangle(q);  // (q, k)
    for (int i = 0; i < triangle(q); i++) acc[i] = all(0.0);
    Lanes pivots = all(1.0);
    double log_det = 0.0;
    Level<FIXED> level;
    level.size = k;
    for (Index b = from; b < to; b++) {
        const Lanes* c = reinterpret_cast<const Lanes*>(levels.shared) + b * step;
        level.factor(c, m, pivots);
        if (largest(pivots) > 1e100) {
            log_det += log_product(pivots);
            pivots = all(1.0);
        }
        for (int a = 0; a < p; a++) level.solve(c + k * k + a, p, w + a * k);
        level.solve(reinterpret_cast<const Lanes*>(levels.y) + b * k, 1, w + p * k);
        for (int a = 0, t = 0; a < q; a++)
            for (int e = 0; e <= a; e++, t++) {
                Lanes sum = w[a * k] * w[e * k];
                for (int i = 1; i < k; i++) sum += w[a * k + i] * w[e * k + i];
                acc[t] += sum;
            }
    }
    sums.log_det += 2.0 * (log_det + log_product(pivots));
    for (int i = 0; i < triangle(q); i++) sums.products[i] += total(acc[i]);
}

template <int FIXED>
void second_pass(const Levels& levels, const double* m, const henderson::SecondInput& at,
                 Index from, Index to, henderson::SecondSums& sums, double* work) {
    constexpr int MOST = Level<FIXED>::MOST, MOST_PAIRS = triangle(MOST);
    const int k = FIXED ? FIXED : levels.size, p = levels.p, pairs = triangle(k);
    const int outer_size = sums.outer ? triangle(p) : 0;
    const Index step = static_cast<Index>(k) * (k + p);
    Lanes* trace = reinterpret_cast<Lanes*>(work);
    Lanes* quadratic = trace + pairs;
    Lanes* fourth = quadratic + pairs;
    Lanes* mixed = fourth + pairs * pairs;
    Lanes* outer = mixed + pairs * p;
    Lanes* w = outer + pairs * triangle(p);  // (p, k), then W R^-1 in its place
    Lanes* e = w + p * k;                    // (k, p)
    const Index count = pairs * (2 + pairs + p + outer_size);
    for (Index i = 0; i < count; i++) trace[i] = all(0.0);
    Level<FIXED> level;
    level.size = k;
    Lanes unused = all(1.0);
    for (Index b = from; b < to; b++) {
        const Lanes* c = reinterpret_cast<const Lanes*>(levels.shared) + b * step;
        level.factor(c, m, unused);
        unused = all(1.0);
        Lanes y[MOST][MOST], v[MOST], h[MOST], g[MOST_PAIRS], wanted[MOST_PAIRS];
        level.transposed_root(y);
        level.solve(reinterpret_cast<const Lanes*>(levels.y) + b * k, 1, v);
        for (int a = 0; a < p; a++) {
            level.solve(c + k * k + a, p, w + a * k);
            for (int i = 0; i < k; i++) v[i] -= w[a * k + i] * all(at.beta[a]);
        }
        for (int a = p - 1; a >= 0; a--)
            for (int i = 0; i < k; i++) {
                Lanes sum = w[a * k + i] * all(at.r_inverse[a * p + a]);
                for (int d = 0; d < a; d++) sum += w[d * k + i] * all(at.r_inverse[d * p + a]);
                w[a * k + i] = sum;
            }
        for (int i = 0; i < k; i++) {
            Lanes sum = y[i][0] * v[0];
            for (int l = 1; l < k; l++) sum += y[i][l] * v[l];
            h[i] = sum;
            for (int a = 0; a < p; a++) {
                Lanes entry = y[i][0] * w[a * k];
                for (int l = 1; l < k; l++) entry += y[i][l] * w[a * k + l];
                e[i * p + a] = entry;
            }
        }
        for (int i = 0, t = 0; i < k; i++)
            for (int j = 0; j <= i; j++, t++) {
                Lanes block = y[i][0] * y[j][0], taken = all(0.0);
                for (int l = 1; l < k; l++) block += y[i][l] * y[j][l];
                if (at.reml)
                    for (int a = 0; a < p; a++) taken += e[i * p + a] * e[j * p + a];
                Lanes square = h[i] * h[j];
                g[t] = block;
                trace[t] += block - taken;
                quadratic[t] += square;
                wanted[t] = all(2.0) * taken - block + all(2.0 * at.inverse_s2) * square;
                Lanes* to_mixed = mixed + t * p;
                for (int a = 0; a < p; a++) to_mixed[a] += e[i * p + a] * h[j];
                if (i != j)
                    for (int a = 0; a < p; a++) to_mixed[a] += e[j * p + a] * h[i];
                if (!outer_size) continue;
                Lanes* to_outer = outer + static_cast<Index>(t) * outer_size;
                for (int a = 0, s = 0; a < p; a++)
                    for (int d = 0; d <= a; d++, s++) {
                        Lanes sum = e[i * p + a] * e[j * p + d];
                        if (i != j) sum += e[j * p + a] * e[i * p + d];
                        to_outer[s] += sum;
                    }
            }
        for (int s = 0; s < pairs; s++)
            for (int t = 0; t < pairs; t++) fourth[s * pairs + t] += g[s] * wanted[t];
    }
    for (int t = 0; t < pairs; t++) {
        sums.trace[t] += total(trace[t]);
        sums.quadratic[t] += total(quadratic[t]);
    }
    for (int t = 0; t < pairs * pairs; t++) sums.fourth[t] += total(fourth[t]);
    for (int t = 0; t < pairs * p; t++) sums.mixed[t] += total(mixed[t]);
    for (Index t = 0; t < static_cast<Index>(pairs) * outer_size; t++)
        sums.outer[t] += total(outer[t]);
}

static void first(const Levels& levels, const double* m, Index from, Index to,
                  henderson::FirstSums& sums, double* work) {
    switch (levels.size) {
        case 1:
            return first_pass<1>(levels, m, from, to, sums, work);
        case 2:
            return first_pass<2>(levels, m, from, to, sums, work);
        case 3:
            return first_pass<3>(levels, m, from, to, sums, work);
        default:
            return first_pass<0>(levels, m, from, to, sums, work);
    }
}

static void second(const Levels& levels, const double* m, const henderson::SecondInput& at,
                   Index from, Index to, henderson::SecondSums& sums, double* work) {
    switch (levels.size) {
        case 1:
            return second_pass<1>(levels, m, at, from, to, sums, work);
        case 2:
            return second_pass<2>(levels, m, at, from, to, sums, work);
        case 3:
            return second_pass<3>(levels, m, at, from, to, sums, work);
        default:
            return second_pass<0>(levels, m, at, from, to, sums, work);
    }
}

}  // namespace HD_ISA
