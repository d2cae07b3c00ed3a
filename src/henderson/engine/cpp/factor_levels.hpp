// The per-level blocks at one Sigma that inference reads: G = Z'V^-1Z and F = Z'V^-1[X y].
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "passes.hpp"

namespace henderson {

// gd (J, K, K), f (J, K, q); products (q, q) = T'(I + C'Sigma C)^-1 T summed over levels.
struct LevelFactors {
    double *gd, *f, *products;
    double log_det;
};

// FIXED is the number of effects, 0 for one known at run time only.
template <int FIXED>
void factor_levels(const double* root, const double* dense, const double* m, Index levels, int size,
                   int q, LevelFactors& out) {
    constexpr int MOST = FIXED ? FIXED : MAX_SIZE;
    const int k = FIXED ? FIXED : size;
    const Index slab = 1024;
    std::vector<double> w(k * q), part(triangle(q));
    std::fill(out.products, out.products + q * q, 0.0);
    out.log_det = 0.0;
    for (Index start = 0; start < levels; start += slab) {
        std::fill(part.begin(), part.end(), 0.0);
        double pivots = 1.0, logs = 0.0;
        for (Index j = start; j < std::min(start + slab, levels); j++) {
            const double* c = root + j * k * k;
            const double* t = dense + j * k * q;
            double half[MOST][MOST], lower[MOST][MOST], y[MOST][MOST];  // C'M, L, L^-1 C'
            for (int a = 0; a < k; a++)
                for (int b = 0; b < k; b++) {
                    half[a][b] = 0.0;
                    for (int l = 0; l < k; l++) half[a][b] += c[l * k + a] * m[l * k + b];
                }
            for (int a = 0; a < k; a++)
                for (int b = 0; b <= a; b++) {
                    double sum = a == b ? 1.0 : 0.0;
                    for (int l = 0; l < k; l++) sum += half[a][l] * half[b][l];
                    for (int l = 0; l < b; l++) sum -= lower[a][l] * lower[b][l];
                    lower[a][b] = a == b ? std::sqrt(sum) : sum / lower[b][b];
                }
            for (int a = 0; a < k; a++) {
                pivots *= lower[a][a];
                for (int b = 0; b < k; b++) {
                    double sum = c[b * k + a];
                    for (int l = 0; l < a; l++) sum -= lower[a][l] * y[l][b];
                    y[a][b] = sum / lower[a][a];
                }
                for (int s = 0; s < q; s++) {
                    double sum = t[a * q + s];
                    for (int l = 0; l < a; l++) sum -= lower[a][l] * w[l * q + s];
                    w[a * q + s] = sum / lower[a][a];
                }
            }
            if (pivots > 1e100) logs += std::log(pivots), pivots = 1.0;
            double* gd = out.gd + j * k * k;
            double* f = out.f + j * k * q;
            for (int a = 0; a < k; a++) {
                for (int b = 0; b < k; b++) {
                    double sum = 0.0;
                    for (int l = 0; l < k; l++) sum += y[l][a] * y[l][b];
                    gd[a * k + b] = sum;
                }
                for (int s = 0; s < q; s++) {
                    double sum = 0.0;
                    for (int l = 0; l < k; l++) sum += y[l][a] * w[l * q + s];
                    f[a * q + s] = sum;
                }
            }
            for (int r = 0, e = 0; r < q; r++)
                for (int s = 0; s <= r; s++, e++)
                    for (int l = 0; l < k; l++) part[e] += w[l * q + r] * w[l * q + s];
        }
        out.log_det += 2.0 * (logs + std::log(pivots));
        for (int r = 0; r < q; r++)
            for (int s = 0; s < q; s++) out.products[r * q + s] += part[packed(r, s)];
    }
}

inline void factor_levels(const double* root, const double* dense, const double* m, Index levels,
                          int size, int q, LevelFactors& out) {
    switch (size) {
        case 1:
            return factor_levels<1>(root, dense, m, levels, size, q, out);
        case 2:
            return factor_levels<2>(root, dense, m, levels, size, q, out);
        case 3:
            return factor_levels<3>(root, dense, m, levels, size, q, out);
        default:
            return factor_levels<0>(root, dense, m, levels, size, q, out);
    }
}

}  // namespace henderson
