// Sums over levels for structured residuals: from the sets A_jk of every level and the weights of
// one phi to the level's C and T, and what moves with phi.
//
// Per level A = U'R^-1U = sum_k c_k A_k over the columns U = [Z X y], A_a and A_ab alike with the
// derivatives of the weights. With G, h = Z'Py and E = Z'V^-1X R^-1, L = I - G Sigma,
// K = Sigma - Sigma G Sigma, and W = V^-1[X R^-1, y - X beta] in terms of R^-1 U,
//   W = [-Sigma E, -Sigma h; R^-1, (-beta, 1)],   B_a = (A_a)_z. W,   S_a = sum W'A_aW.
#pragma once

#include "level_passes.hpp"

namespace HD_ISA {

using henderson::BendInput;
using henderson::BendSums;
using henderson::Sets;

// The sum of the sets of one block with some weights: packed, (q).
static inline void add_up(const Sets& sets, const Lanes* own, const double* weights, int length,
                          Lanes* to) {
    for (int e = 0; e < length; e++) to[e] = own[e] * all(weights[0]);
    for (int s = 1; s < sets.count; s++) {
        const Lanes* from = own + static_cast<Index>(s) * length;
        const Lanes weight = all(weights[s]);
        for (int e = 0; e < length; e++) to[e] += from[e] * weight;
    }
}

template <int FIXED>
void reduce_pass(const Sets& sets, const double* weights, Index from, Index to, double* shared,
                 double* y, double* within, double* work) {
    const int k = FIXED ? FIXED : sets.size, p = sets.p, q = k + p + 1, length = triangle(q);
    Lanes* a = reinterpret_cast<Lanes*>(work);
    Lanes* sum = a + length;
    Lanes* t = sum + triangle(p + 1);  // (k, p + 1)
    for (int i = 0; i < triangle(p + 1); i++) sum[i] = all(0.0);
    for (Index b = from; b < to; b++) {
        add_up(sets, reinterpret_cast<const Lanes*>(sets.data) + b * sets.count * length, weights,
               length, a);
        Lanes* c = reinterpret_cast<Lanes*>(shared) + b * k * (k + p);
        for (int i = 0; i < k; i++) {
            const Lanes diagonal = a[packed(i, i)];
            Lanes pivot = diagonal, over;
            for (int l = 0; l < i; l++) pivot -= c[i * k + l] * c[i * k + l];
            for (int lane = 0; lane < WIDTH; lane++) {
                // a pivot that is rounding leaves its column and its row of T zero
                const bool keep = pivot[lane] > henderson::NO_PIVOT * diagonal[lane];
                const double size = keep ? std::sqrt(pivot[lane]) : 0.0;
                pivot[lane] = size;
                over[lane] = keep ? 1.0 / size : 0.0;
            }
            c[i * k + i] = pivot;
            for (int r = i + 1; r < k; r++) {
                Lanes left = a[packed(r, i)];
                for (int l = 0; l < i; l++) left -= c[r * k + l] * c[i * k + l];
                c[r * k + i] = left * over;
                c[i * k + r] = all(0.0);
            }
            for (int d = 0; d <= p; d++) {
                Lanes left = a[packed(k + d, i)];
                for (int l = 0; l < i; l++) left -= c[i * k + l] * t[l * (p + 1) + d];
                t[i * (p + 1) + d] = left * over;
            }
        }
        for (int i = 0; i < k; i++) {
            for (int d = 0; d < p; d++) c[k * k + i * p + d] = t[i * (p + 1) + d];
            reinterpret_cast<Lanes*>(y)[b * k + i] = t[i * (p + 1) + p];
        }
        for (int d = 0, e = 0; d <= p; d++)
            for (int f = 0; f <= d; f++, e++) {
                Lanes left = a[packed(k + d, k + f)];
                for (int i = 0; i < k; i++) left -= t[i * (p + 1) + d] * t[i * (p + 1) + f];
                sum[e] += left;
            }
    }
    for (int i = 0; i < triangle(p + 1); i++) within[i] += total(sum[i]);
}

// a (q, q) packed times W (q, width): rows [0, rows) of the product.
static inline void times(const Lanes* a, const Lanes* w, int rows, int q, int width, Lanes* to) {
    for (int i = 0; i < rows; i++)
        for (int d = 0; d < width; d++) {
            Lanes sum = a[packed(i, 0)] * w[d];
            for (int u = 1; u < q; u++) sum += a[packed(i, u)] * w[u * width + d];
            to[i * width + d] = sum;
        }
}

template <int FIXED>
void bend_pass(const Sets& sets, const Levels& levels, const double* m, const BendInput& at,
               Index from, Index to, BendSums& sums, double* work) {
    constexpr int MOST = Level<FIXED>::MOST;
    const int k = FIXED ? FIXED : levels.size, p = levels.p, width = p + 1, q = k + width;
    const int length = triangle(q), extra = at.extra, pairs = triangle(k);
    const Index step = static_cast<Index>(k) * (k + p);
    Lanes* each = reinterpret_cast<Lanes*>(work);  // accumulators: as in BendSums
    Lanes* forms = each + sets.count;
    Lanes* second = forms + extra * triangle(width);
    Lanes* mixed = second + extra * extra;
    const Index kept = sets.count + extra * (triangle(width) + extra + pairs);
    Lanes* n = each + kept;               // (q) packed
    Lanes* w = n + length;                // W (q, width)
    Lanes* a = w + q * width;             // A_a (q) packed
    Lanes* aw = a + length;               // A_a W (q, width)
    Lanes* bent = aw + q * width;         // B_a (extra, k, width)
    Lanes* kb = bent + extra * k * width; // K B_a
    Lanes* ka = kb + extra * k * width;   // K A_a (extra, k, k)
    Lanes* e = ka + extra * k * k;        // (k, width): E and h
    for (Index i = 0; i < kept; i++) each[i] = all(0.0);
    double sigma[MOST][MOST];
    for (int i = 0; i < k; i++)
        for (int j = 0; j < k; j++) {
            sigma[i][j] = 0.0;
            for (int l = 0; l < k; l++) sigma[i][j] += m[i * k + l] * m[j * k + l];
        }
    for (int d = 0; d < width; d++)  // the rows of W that belong to X and y are the same everywhere
        for (int i = 0; i < width; i++) {
            const double x = i < p ? (d < p ? at.r_inverse[i * p + d] : -at.beta[i])
                                   : (d < p ? 0.0 : 1.0);
            w[(k + i) * width + d] = all(x);
        }
    Level<FIXED> level;
    level.size = k;
    Lanes unused = all(1.0);
    for (Index b = from; b < to; b++) {
        const Lanes* own = reinterpret_cast<const Lanes*>(sets.data) + b * sets.count * length;
        const Lanes* c = reinterpret_cast<const Lanes*>(levels.shared) + b * step;
        level.factor(c, m, unused);
        unused = all(1.0);
        Lanes y[MOST][MOST], v[MOST], g[MOST][MOST], lift[MOST][MOST], rest[MOST][MOST];
        level.transposed_root(y);
        // columns of L^-1 [T_x R^-1, T_y - T_x beta], one at a time, to E and h
        for (int d = 0; d < width; d++) {
            Lanes column[MOST];
            for (int i = 0; i < k; i++) {
                Lanes sum = all(0.0);
                for (int x = 0; x < p; x++)
                    sum += c[k * k + i * p + x] * w[(k + x) * width + d];
                if (d == p) sum += reinterpret_cast<const Lanes*>(levels.y)[b * k + i];
                column[i] = sum;
            }
            level.solve(column, 1, v);
            for (int i = 0; i < k; i++) {
                Lanes sum = y[i][0] * v[0];
                for (int l = 1; l < k; l++) sum += y[i][l] * v[l];
                e[i * width + d] = sum;
            }
        }
        for (int i = 0; i < k; i++)
            for (int j = 0; j < k; j++) {
                Lanes sum = y[i][0] * y[j][0];
                for (int l = 1; l < k; l++) sum += y[i][l] * y[j][l];
                g[i][j] = sum;
            }
        for (int i = 0; i < k; i++)
            for (int j = 0; j < k; j++) {
                Lanes sum = all(i == j ? 1.0 : 0.0);
                for (int l = 0; l < k; l++) sum -= g[i][l] * all(sigma[l][j]);
                lift[i][j] = sum;
            }
        for (int i = 0; i < k; i++)
            for (int j = 0; j < k; j++) {
                Lanes sum = all(sigma[i][0]) * lift[0][j];
                for (int l = 1; l < k; l++) sum += all(sigma[i][l]) * lift[l][j];
                rest[i][j] = sum;
            }
        for (int i = 0; i < k; i++)
            for (int d = 0; d < width; d++) {
                Lanes sum = all(-sigma[i][0]) * e[d];
                for (int l = 1; l < k; l++) sum -= all(sigma[i][l]) * e[l * width + d];
                w[i * width + d] = sum;
            }
        // N = K + sum of weighted W_d W_d', off-diagonal entries twice
        for (int i = 0, t = 0; i < q; i++)
            for (int j = 0; j <= i; j++, t++) {
                Lanes sum = i < k ? rest[i][j] : all(0.0);
                if (at.reml)
                    for (int d = 0; d < p; d++) sum += w[i * width + d] * w[j * width + d];
                sum += w[i * width + p] * w[j * width + p] * all(at.inverse_s2);
                n[t] = i == j ? sum : sum + sum;
            }
        for (int s = 0; s < sets.count; s++) {
            const Lanes* set = own + static_cast<Index>(s) * length;
            Lanes sum = n[0] * set[0];
            for (int t = 1; t < length; t++) sum += n[t] * set[t];
            each[s] += sum;
        }
        for (int x = 0; x < extra; x++) {
            add_up(sets, own, at.weights + static_cast<Index>(x) * sets.count, length, a);
            times(a, w, q, q, width, aw);
            Lanes* to_forms = forms + x * triangle(width);
            for (int d = 0, t = 0; d < width; d++)
                for (int f = 0; f <= d; f++, t++) {
                    Lanes sum = w[d] * aw[f];
                    for (int u = 1; u < q; u++) sum += w[u * width + d] * aw[u * width + f];
                    to_forms[t] += sum;
                }
            Lanes* b_x = bent + x * k * width;
            for (int i = 0; i < k * width; i++) b_x[i] = aw[i];
            for (int i = 0; i < k; i++) {
                for (int d = 0; d < width; d++) {
                    Lanes sum = rest[i][0] * b_x[d];
                    for (int l = 1; l < k; l++) sum += rest[i][l] * b_x[l * width + d];
                    kb[(x * k + i) * width + d] = sum;
                }
                for (int j = 0; j < k; j++) {
                    Lanes sum = rest[i][0] * a[packed(0, j)];
                    for (int l = 1; l < k; l++) sum += rest[i][l] * a[packed(l, j)];
                    ka[(x * k + i) * k + j] = sum;
                }
            }
            for (int z = 0; z <= x; z++) {
                Lanes sum = all(0.0);
                const Lanes *left = ka + x * k * k, *right = ka + z * k * k;
                for (int i = 0; i < k; i++)
                    for (int j = 0; j < k; j++) sum += left[i * k + j] * right[j * k + i];
                const Lanes *b_z = bent + z * k * width, *kb_x = kb + x * k * width;
                Lanes fixed = all(0.0), fit = all(0.0);
                for (int i = 0; i < k; i++) {
                    if (at.reml)
                        for (int d = 0; d < p; d++)
                            fixed += b_z[i * width + d] * kb_x[i * width + d];
                    fit += b_z[i * width + p] * kb_x[i * width + p];
                }
                second[x * extra + z] +=
                    sum + all(2.0) * fixed + all(2.0 * at.inverse_s2) * fit;
            }
            // L A_a L' - [reml] (L B_x E' + E B_x'L') - (L b h' + h b'L') / s2
            Lanes la[MOST][MOST], lb[MOST];
            for (int i = 0; i < k; i++)
                for (int j = 0; j < k; j++) {
                    Lanes sum = lift[i][0] * a[packed(0, j)];
                    for (int l = 1; l < k; l++) sum += lift[i][l] * a[packed(l, j)];
                    la[i][j] = sum;
                }
            for (int i = 0, t = 0; i < k; i++)
                for (int j = 0; j <= i; j++, t++) {
                    Lanes sum = la[i][0] * lift[j][0];
                    for (int l = 1; l < k; l++) sum += la[i][l] * lift[j][l];
                    mixed[x * pairs + t] += sum;
                }
            for (int d = at.reml ? 0 : p; d < width; d++) {
                const Lanes weight = all(d < p ? 1.0 : at.inverse_s2);
                for (int i = 0; i < k; i++) {
                    Lanes sum = lift[i][0] * b_x[d];
                    for (int l = 1; l < k; l++) sum += lift[i][l] * b_x[l * width + d];
                    lb[i] = sum * weight;
                }
                for (int i = 0, t = 0; i < k; i++)
                    for (int j = 0; j <= i; j++, t++)
                        mixed[x * pairs + t] -=
                            lb[i] * e[j * width + d] + lb[j] * e[i * width + d];
            }
        }
    }
    for (int s = 0; s < sets.count; s++) sums.each[s] += total(each[s]);
    for (int t = 0; t < extra * triangle(width); t++) sums.forms[t] += total(forms[t]);
    for (int t = 0; t < extra * extra; t++) sums.second[t] += total(second[t]);
    for (int t = 0; t < extra * pairs; t++) sums.mixed[t] += total(mixed[t]);
}

static void reduce(const Sets& sets, const double* weights, Index from, Index to, double* shared,
                   double* y, double* within, double* work) {
    switch (sets.size) {
        case 1:
            return reduce_pass<1>(sets, weights, from, to, shared, y, within, work);
        case 2:
            return reduce_pass<2>(sets, weights, from, to, shared, y, within, work);
        default:
            return reduce_pass<0>(sets, weights, from, to, shared, y, within, work);
    }
}

static void bend(const Sets& sets, const Levels& levels, const double* m, const BendInput& at,
                 Index from, Index to, BendSums& sums, double* work) {
    switch (sets.size) {
        case 1:
            return bend_pass<1>(sets, levels, m, at, from, to, sums, work);
        case 2:
            return bend_pass<2>(sets, levels, m, at, from, to, sums, work);
        default:
            return bend_pass<0>(sets, levels, m, at, from, to, sums, work);
    }
}

}  // namespace HD_ISA
