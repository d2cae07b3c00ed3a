// Sums over levels for structured residuals: from the sets A_jk of every level and the weights of
// one phi to the level's C and T, and what moves with phi.
//
// Per level A = U'R^-1U = sum_k c_k A_k over the columns U = [Z X y], A_a and A_ab alike with the
// derivatives of the weights. With G, h = Z'Py and E = Z'V^-1X R^-1, L = I - G Sigma,
// K = Sigma - Sigma G Sigma, and W = V^-1[X R^-1, y - X beta] in terms of R^-1 U,
//   W = [W_z; W_x],   W_z = -Sigma [E, h],   W_x = [R^-1, -beta; 0, 1],
//   B_a = (A_a)_zz W_z + C_a,   C_a = (A_a)_zx W_x,   S_a = sum W'A_aW.
// W_x is the same for every level, so what A has between columns of [X y] is added up over levels
// beforehand: neither A nor the sums here have it.
#pragma once

#include "level_passes.hpp"

namespace HD_ISA {

using henderson::BendInput;
using henderson::BendSums;
using henderson::set_length;
using henderson::Sets;

// The sum of the sets of one block with some weights, (length).
static inline void add_up(const Sets& sets, const Lanes* own, const double* weights, int length,
                          Lanes* to) {
    bool first = true;
    for (int s = 0; s < sets.count; s++) {
        if (weights[s] == 0.0) continue;
        const Lanes* from = own + static_cast<Index>(s) * length;
        const Lanes weight = all(weights[s]);
        if (first)
            for (int e = 0; e < length; e++) to[e] = from[e] * weight;
        else
            for (int e = 0; e < length; e++) to[e] += from[e] * weight;
        first = false;
    }
    for (int e = 0; first && e < length; e++) to[e] = all(0.0);
}

template <int FIXED>
void reduce_pass(const Sets& sets, const double* weights, Index from, Index to, double* shared,
                 double* y, double* taken, double* work) {
    const int k = FIXED ? FIXED : sets.size, p = sets.p, width = p + 1, length = set_length(k, p);
    Lanes* a = reinterpret_cast<Lanes*>(work);
    const Lanes* across = a + triangle(k);  // (k, width)
    Lanes* sum = a + length;
    Lanes* t = sum + triangle(width);  // (k, width)
    for (int i = 0; i < triangle(width); i++) sum[i] = all(0.0);
    for (Index b = from; b < to; b++) {
        add_up(sets, reinterpret_cast<const Lanes*>(sets.data) + b * sets.count * length, weights,
               length, a);
        Lanes* c = reinterpret_cast<Lanes*>(shared) + b * k * (k + p);
        for (int i = 0; i < k; i++) {
            const Lanes diagonal = a[packed(i, i)], least = diagonal * all(henderson::NO_PIVOT);
            Lanes pivot = diagonal;
            for (int l = 0; l < i; l++) pivot -= c[i * k + l] * c[i * k + l];
            // a pivot that is rounding leaves its column and its row of T zero
            const Lanes size = root(where_above(pivot, least, pivot, all(1.0)));
            const Lanes over = where_above(pivot, least, all(1.0) / size, all(0.0));
            c[i * k + i] = where_above(pivot, least, size, all(0.0));
            for (int r = i + 1; r < k; r++) {
                Lanes left = a[packed(r, i)];
                for (int l = 0; l < i; l++) left -= c[r * k + l] * c[i * k + l];
                c[r * k + i] = left * over;
                c[i * k + r] = all(0.0);
            }
            for (int d = 0; d < width; d++) {
                Lanes left = across[i * width + d];
                for (int l = 0; l < i; l++) left -= c[i * k + l] * t[l * width + d];
                t[i * width + d] = left * over;
            }
            for (int d = 0; d < p; d++) c[k * k + i * p + d] = t[i * width + d];
            reinterpret_cast<Lanes*>(y)[b * k + i] = t[i * width + p];
        }
        for (int d = 0, e = 0; d < width; d++)
            for (int f = 0; f <= d; f++, e++)
                for (int i = 0; i < k; i++) sum[e] += t[i * width + d] * t[i * width + f];
    }
    for (int i = 0; i < triangle(width); i++) taken[i] += total(sum[i]);
}

// One level at a time: its equations, then what each parameter of the residuals moves.
template <int FIXED>
struct Bend {
    static constexpr int MOST = Level<FIXED>::MOST;
    const Sets& sets;
    const Levels& levels;
    const double* m;
    const BendInput& at;
    int size, p, width, length, extra, pairs;
    Lanes *each, *forms, *second, *mixed;  // accumulators: as in BendSums
    Lanes *n, *w, *fixed, *a, *c, *bent, *kb, *ka, *e;
    double sigma[MOST][MOST];
    Lanes lift[MOST][MOST], rest[MOST][MOST];  // L and K
    Level<FIXED> level;

    int k() const { return FIXED ? FIXED : size; }

    Bend(const Sets& of, const Levels& reduced, const double* factor, const BendInput& in,
         double* work)
        : sets(of), levels(reduced), m(factor), at(in), size(of.size), p(of.p), width(of.p + 1),
          length(set_length(of.size, of.p)), extra(in.extra), pairs(triangle(of.size)) {
        each = reinterpret_cast<Lanes*>(work);
        forms = each + sets.count;
        second = forms + extra * triangle(width);
        mixed = second + extra * extra;
        n = mixed + extra * pairs;          // as one set
        w = n + length;                     // W_z (k, width)
        fixed = w + k() * width;            // W_x (width, width)
        a = fixed + width * width;          // A_a, as one set
        c = a + length;                     // C_a (k, width)
        bent = c + k() * width;             // B_a (extra, k, width)
        kb = bent + extra * k() * width;    // K B_a
        ka = kb + extra * k() * width;      // K A_a (extra, k, k)
        e = ka + extra * k() * k();         // [E, h] (k, width)
        for (Lanes* sum = each; sum < n; sum++) *sum = all(0.0);
        for (int i = 0; i < width; i++)
            for (int d = 0; d < width; d++) fixed[i * width + d] = all(at.w(p, i, d));
        for (int i = 0; i < k(); i++)
            for (int j = 0; j < k(); j++) {
                sigma[i][j] = 0.0;
                for (int l = 0; l < k(); l++) sigma[i][j] += m[i * k() + l] * m[j * k() + l];
            }
        level.size = size;
    }

    // sum over x of row x of W_x, column d, times a row (width,) of numbers.
    Lanes times_fixed(const Lanes* row, int d) const {
        Lanes sum = row[0] * fixed[d];
        const int last = d < p ? d : p;
        for (int x = 1; x <= last; x++) sum += row[x] * fixed[x * width + d];
        return sum;
    }

    // E, h and W_z, and K and L.
    void solve(Index b) {
        const Lanes* roots =
            reinterpret_cast<const Lanes*>(levels.shared) + b * k() * (k() + p);
        Lanes unused = all(1.0), y[MOST][MOST], v[MOST], column[MOST];
        level.factor(roots, m, unused);
        level.transposed_root(y);
        for (int d = 0; d < width; d++) {
            for (int i = 0; i < k(); i++) {
                const Lanes* row = roots + k() * k() + i * p;
                Lanes sum = all(0.0);
                for (int x = 0; x <= d && x < p; x++) sum += row[x] * fixed[x * width + d];
                if (d == p) sum += reinterpret_cast<const Lanes*>(levels.y)[b * k() + i];
                column[i] = sum;
            }
            level.solve(column, 1, v);
            for (int i = 0; i < k(); i++) {
                Lanes sum = y[i][0] * v[0];
                for (int l = 1; l < k(); l++) sum += y[i][l] * v[l];
                e[i * width + d] = sum;
            }
        }
        for (int i = 0; i < k(); i++)
            for (int d = 0; d < width; d++) {
                Lanes sum = all(-sigma[i][0]) * e[d];
                for (int l = 1; l < k(); l++) sum -= all(sigma[i][l]) * e[l * width + d];
                w[i * width + d] = sum;
            }
        variances(y);
    }

    void variances(const Lanes y[MOST][MOST]) {
        Lanes g[MOST][MOST];
        for (int i = 0; i < k(); i++)
            for (int j = 0; j < k(); j++) {
                Lanes sum = y[i][0] * y[j][0];
                for (int l = 1; l < k(); l++) sum += y[i][l] * y[j][l];
                g[i][j] = sum;
            }
        for (int i = 0; i < k(); i++)
            for (int j = 0; j < k(); j++) {
                Lanes sum = all(i == j ? 1.0 : 0.0);
                for (int l = 0; l < k(); l++) sum -= g[i][l] * all(sigma[l][j]);
                lift[i][j] = sum;
            }
        for (int i = 0; i < k(); i++)
            for (int j = 0; j < k(); j++) {
                Lanes sum = all(sigma[i][0]) * lift[0][j];
                for (int l = 1; l < k(); l++) sum += all(sigma[i][l]) * lift[l][j];
                rest[i][j] = sum;
            }
    }

    // <N, A_k>, N = K + sum of weighted W_d W_d', off-diagonal entries twice.
    void add_traces(const Lanes* own) {
        const int start = at.reml ? 0 : p;
        for (int i = 0, t = 0; i < k(); i++)
            for (int j = 0; j <= i; j++, t++) {
                Lanes sum = rest[i][j] + w[i * width + p] * w[j * width + p] * all(at.inverse_s2);
                for (int d = start; d < p; d++) sum += w[i * width + d] * w[j * width + d];
                n[t] = i == j ? sum : sum + sum;
            }
        Lanes* across = n + pairs;
        for (int i = 0; i < k(); i++)
            for (int x = 0; x < width; x++) {
                Lanes sum = w[i * width + p] * fixed[x * width + p] * all(at.inverse_s2);
                for (int d = x > start ? x : start; d < p; d++)
                    sum += w[i * width + d] * fixed[x * width + d];
                across[i * width + x] = sum + sum;
            }
        for (int s = 0; s < sets.count; s++) {
            const Lanes* set = own + static_cast<Index>(s) * length;
            Lanes sum = n[0] * set[0];
            for (int t = 1; t < length; t++) sum += n[t] * set[t];
            each[s] += sum;
        }
    }

    // A_x, B_x, K A_x and K B_x of one parameter of the residuals, and its part of S_x.
    void move(const Lanes* own, int x) {
        add_up(sets, own, at.weights + static_cast<Index>(x) * sets.count, length, a);
        Lanes *b_x = bent + x * k() * width, *kb_x = kb + x * k() * width;
        for (int i = 0; i < k(); i++)
            for (int d = 0; d < width; d++) {
                const Lanes sum = times_fixed(a + pairs + i * width, d);
                Lanes more = sum;
                for (int j = 0; j < k(); j++) more += a[packed(i, j)] * w[j * width + d];
                c[i * width + d] = sum;
                b_x[i * width + d] = more;
            }
        Lanes* form = forms + x * triangle(width);
        for (int d = at.reml ? 0 : p; d < width; d++)
            for (int f = 0; f <= d; f++) {
                Lanes sum = all(0.0);
                for (int i = 0; i < k(); i++)
                    sum += w[i * width + d] * b_x[i * width + f] +
                           c[i * width + d] * w[i * width + f];
                form[packed(d, f)] += sum;
            }
        for (int i = 0; i < k(); i++) {
            for (int d = 0; d < width; d++) {
                Lanes sum = rest[i][0] * b_x[d];
                for (int l = 1; l < k(); l++) sum += rest[i][l] * b_x[l * width + d];
                kb_x[i * width + d] = sum;
            }
            for (int j = 0; j < k(); j++) {
                Lanes sum = rest[i][0] * a[packed(0, j)];
                for (int l = 1; l < k(); l++) sum += rest[i][l] * a[packed(l, j)];
                ka[(x * k() + i) * k() + j] = sum;
            }
        }
    }

    void add_pair(int x, int z) {
        const Lanes *left = ka + x * k() * k(), *right = ka + z * k() * k();
        const Lanes *b_z = bent + z * k() * width, *kb_x = kb + x * k() * width;
        Lanes sum = all(0.0), fixed_part = all(0.0), fit = all(0.0);
        for (int i = 0; i < k(); i++) {
            for (int j = 0; j < k(); j++) sum += left[i * k() + j] * right[j * k() + i];
            for (int d = 0; at.reml && d < p; d++)
                fixed_part += b_z[i * width + d] * kb_x[i * width + d];
            fit += b_z[i * width + p] * kb_x[i * width + p];
        }
        second[x * extra + z] += sum + all(2.0) * fixed_part + all(2.0 * at.inverse_s2) * fit;
    }

    // L A_x L' - [reml] (L B_x E' + E B_x'L') - (L b h' + h b'L') / s2
    void add_mixed(int x) {
        Lanes la[MOST][MOST], lb[MOST];
        Lanes* to = mixed + x * pairs;
        const Lanes* b_x = bent + x * k() * width;
        for (int i = 0; i < k(); i++)
            for (int j = 0; j < k(); j++) {
                Lanes sum = lift[i][0] * a[packed(0, j)];
                for (int l = 1; l < k(); l++) sum += lift[i][l] * a[packed(l, j)];
                la[i][j] = sum;
            }
        for (int i = 0, t = 0; i < k(); i++)
            for (int j = 0; j <= i; j++, t++) {
                Lanes sum = la[i][0] * lift[j][0];
                for (int l = 1; l < k(); l++) sum += la[i][l] * lift[j][l];
                to[t] += sum;
            }
        for (int d = at.reml ? 0 : p; d < width; d++) {
            const Lanes weight = all(d < p ? 1.0 : at.inverse_s2);
            for (int i = 0; i < k(); i++) {
                Lanes sum = lift[i][0] * b_x[d];
                for (int l = 1; l < k(); l++) sum += lift[i][l] * b_x[l * width + d];
                lb[i] = sum * weight;
            }
            for (int i = 0, t = 0; i < k(); i++)
                for (int j = 0; j <= i; j++, t++)
                    to[t] -= lb[i] * e[j * width + d] + lb[j] * e[i * width + d];
        }
    }

    void add_to(BendSums& sums) const {
        for (int s = 0; s < sets.count; s++) sums.each[s] += total(each[s]);
        for (int t = 0; t < extra * triangle(width); t++) sums.forms[t] += total(forms[t]);
        for (int t = 0; t < extra * extra; t++) sums.second[t] += total(second[t]);
        for (int t = 0; t < extra * pairs; t++) sums.mixed[t] += total(mixed[t]);
    }
};

template <int FIXED>
void bend_pass(const Sets& sets, const Levels& levels, const double* m, const BendInput& at,
               Index from, Index to, BendSums& sums, double* work) {
    Bend<FIXED> bend(sets, levels, m, at, work);
    for (Index b = from; b < to; b++) {
        const Lanes* own =
            reinterpret_cast<const Lanes*>(sets.data) + b * sets.count * bend.length;
        bend.solve(b);
        bend.add_traces(own);
        for (int x = 0; x < at.extra; x++) {
            bend.move(own, x);
            for (int z = 0; z <= x; z++) bend.add_pair(x, z);
            bend.add_mixed(x);
        }
    }
    bend.add_to(sums);
}

static void reduce(const Sets& sets, const double* weights, Index from, Index to, double* shared,
                   double* y, double* taken, double* work) {
    switch (sets.size) {
        case 1:
            return reduce_pass<1>(sets, weights, from, to, shared, y, taken, work);
        case 2:
            return reduce_pass<2>(sets, weights, from, to, shared, y, taken, work);
        default:
            return reduce_pass<0>(sets, weights, from, to, shared, y, taken, work);
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
