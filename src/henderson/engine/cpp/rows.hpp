// From rows to levels: standard coordinates, and per level C and T.
#pragma once

#include <cmath>
#include <cstdlib>
#include <memory>
#include <new>
#include <stdexcept>
#include <vector>

#include "memory.hpp"
#include "passes.hpp"
#include "small.hpp"

namespace henderson {

// Which changes of basis of the columns of a term keep its structure.
enum class Rotation { full = 0, diagonal = 1, scalar = 2 };

struct Part {
    int start, stop;
    Rotation rotation;
};

// The maps to standard coordinates, as Standard has them.
struct Maps {
    std::vector<double> r_x, beta0, r_z;
    double y_scale;
};

// Per level C (J, K, K), T (J, K, p + 1); (p + 1, p + 1) what is orthogonal to Z.
struct LevelArrays {
    double *root, *dense, *within;
};

// a = r'r for the symmetric packed a (n, n): r upper triangular. False if a column is a linear
// combination of others up to `floor` of its square.
inline bool upper_root(const double* a, int n, double floor, std::vector<double>& r) {
    std::vector<double> full(n * n), lower(n * n, 0.0);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) full[i * n + j] = a[packed(i, j)];
    if (!cholesky(full.data(), n, lower.data(), floor)) return false;
    r.resize(n * n);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) r[i * n + j] = lower[j * n + i];
    return true;
}

// r^-1, upper triangular as r is: (r')^-1 transposed.
inline std::vector<double> upper_inverse(const std::vector<double>& r, int n) {
    std::vector<double> lower(n * n), inverse(n * n);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) lower[i * n + j] = r[j * n + i];
    inverse_transposed(lower.data(), n, inverse.data());
    return inverse;
}

// The upper triangular change of basis of z that makes its columns orthogonal within each term, of
// squared length one, as far as each rotation allows. zz: packed Gram matrix. False if the columns
// of a term are too nearly collinear for a Gram matrix to tell.
inline bool basis(const double* zz, int k, const std::vector<Part>& parts, double floor,
                  std::vector<double>& r) {
    r.assign(k * k, 0.0);
    for (const Part& part : parts) {
        const int from = part.start, size = part.stop - part.start;
        double mean = 0.0;
        for (int i = from; i < part.stop; i++) mean += zz[packed(i, i)] / size;
        if (part.rotation == Rotation::full && size > 1) {
            std::vector<double> own(triangle(size)), root;
            for (int i = 0; i < size; i++)
                for (int j = 0; j <= i; j++) own[packed(i, j)] = zz[packed(from + i, from + j)];
            if (!upper_root(own.data(), size, floor, root)) return false;
            for (int i = 0; i < size; i++)
                for (int j = 0; j < size; j++) r[(from + i) * k + from + j] = root[i * size + j];
            continue;
        }
        for (int i = from; i < part.stop; i++) {
            const double square = part.rotation == Rotation::scalar ? mean : zz[packed(i, i)];
            r[i * k + i] = square > 0.0 ? std::sqrt(square) : 1.0;
        }
    }
    return true;
}

// Root C of the packed positive semidefinite a (K, K), by Cholesky with the largest pivot first and
// zero columns for what is rounding, and T = C^+ b for b (K, q) in the range of a. No eigenvalues are
// needed: only C C' and C T matter. order: the row of each column's pivot, (K,).
inline void level_root(const double* a, const double* b, int k, int q, double* c, double* t,
                       int* order) {
    double left[MAX_SIZE], most = 0.0;
    bool done[MAX_SIZE] = {};
    for (int i = 0; i < k; i++) most = std::max(most, left[i] = a[packed(i, i)]);
    for (int j = 0; j < k; j++) {
        int at = -1;
        for (int i = 0; i < k; i++)
            if (!done[i] && (at < 0 || left[i] > left[at])) at = i;
        const bool empty = !(left[at] > 1e-13 * most);
        const double own = empty ? 0.0 : std::sqrt(left[at]), inverse = empty ? 0.0 : 1.0 / own;
        done[at] = true;
        order[j] = at;
        for (int i = 0; i < k; i++) {
            double sum = i == at ? own : 0.0;
            if (!done[i]) {
                sum = a[i > at ? packed(i, at) : packed(at, i)];
                for (int l = 0; l < j; l++) sum -= c[i * k + l] * c[at * k + l];
                sum *= inverse;
                left[i] -= sum * sum;
            }
            c[i * k + j] = sum;
        }
        for (int s = 0; s < q; s++) {
            double sum = b[at * q + s];
            for (int l = 0; l < j; l++) sum -= c[at * k + l] * t[l * q + s];
            t[j * q + s] = sum * inverse;
        }
    }
}

// [q1 r1] to [x y] in standard coordinates, and z1 to z~: the last corrections, near the identity.
struct Correction {
    std::vector<double> to_x;   // (p, p) upper triangular: x = q1 to_x
    std::vector<double> again;  // (p,): y = (r1 - x again) / y_scale
    std::vector<double> to_z;   // (K, K) upper triangular
    double y_scale;
};

// One level's sums [packed z1'z1 | z1'(q1 r1)] in standard coordinates.
inline void correct(const Correction& to, int k, int p, const double* record, double* a,
                    double* b) {
    const int q = p + 1;
    const double* moved = record + triangle(k);
    double half[MAX_SIZE * MAX_SIZE];
    for (int i = 0; i < k; i++)
        for (int j = 0; j < k; j++) {
            double sum = 0.0;
            for (int l = 0; l <= j; l++) sum += record[packed(i, l)] * to.to_z[l * k + j];
            half[i * k + j] = sum;
        }
    for (int i = 0; i < k; i++)
        for (int j = 0; j <= i; j++) {
            double sum = 0.0;
            for (int l = 0; l <= i; l++) sum += to.to_z[l * k + i] * half[l * k + j];
            a[packed(i, j)] = sum;
        }
    for (int i = 0; i < k; i++) {
        double* row = b + i * q;
        for (int c = 0; c < q; c++) {
            double sum = 0.0;
            for (int l = 0; l <= i; l++) sum += to.to_z[l * k + i] * moved[l * q + c];
            row[c] = sum;
        }
        for (int c = p - 1; c >= 0; c--) {
            double sum = 0.0;
            for (int d = 0; d <= c; d++) sum += row[d] * to.to_x[d * p + c];
            row[c] = sum;
        }
        for (int c = 0; c < p; c++) row[p] -= row[c] * to.again[c];
        row[p] /= to.y_scale;
    }
}

// Rows of a model with one grouping factor, reduced in two passes.
class Reduction {
  public:
    // Columns that keep less than this part of their square beside the others are left to QR.
    static constexpr double WORST = 1e-8;

    Reduction(const Rows& rows, const Codes& codes, Index n_levels, const std::vector<Part>& parts)
        : rows_(rows),
          codes_(codes),
          n_levels_(n_levels),
          parts_(parts),
          p_(rows.x.count),
          q_(p_ + 1),
          k_(rows.z.count) {
        if (k_ < 1 || k_ > MAX_SIZE) throw std::invalid_argument("1 to 8 effects per level");
    }

    // False if columns are too nearly collinear for Gram matrices, or if next to nothing is left
    // of y beside x: then the caller takes the slow way, which also knows the errors.
    bool run(Maps& maps, const LevelArrays& out) const {
        Doubles work(row_work(p_, k_));
        std::vector<double> xy(triangle(q_), 0.0), zz(triangle(k_), 0.0), r_x, r_z;
        passes().gram(rows_, xy.data(), zz.data(), work.get());
        if (!upper_root(xy.data(), p_, WORST, r_x) || !basis(zz.data(), k_, parts_, WORST, r_z))
            return false;
        const double raw = xy[packed(p_, p_)];
        const std::vector<double> to_q = upper_inverse(r_x, p_), to_z = upper_inverse(r_z, k_);
        std::vector<double> coef(p_, 0.0);
        for (int c = 0; c < p_; c++)
            for (int i = 0; i <= c; i++) coef[c] += to_q[i * p_ + c] * xy[packed(p_, i)];
        Rows standard = rows_;
        standard.to_q = to_q.data();
        standard.to_z = to_z.data();
        standard.coef = coef.data();
        standard.y_scale = 1.0;
        std::fill(xy.begin(), xy.end(), 0.0);
        const std::size_t length = triangle(k_) + static_cast<std::size_t>(k_) * q_;
        std::unique_ptr<double, void (*)(void*)> records(
            static_cast<double*>(std::calloc(n_levels_ * length + 1, sizeof(double))), std::free);
        if (!records) throw std::bad_alloc();
        if (!passes().levels(standard, codes_, n_levels_, records.get(), xy.data(), work.get()))
            throw std::out_of_range("a grouping code is outside 0..n_levels-1");
        Correction last;
        if (!second_maps(xy, r_x, to_q, coef, raw, maps, last)) return false;
        std::fill(zz.begin(), zz.end(), 0.0);
        for (Index j = 0; j < n_levels_; j++)
            for (int i = 0; i < triangle(k_); i++) zz[i] += records.get()[j * length + i];
        if (!second_basis(zz, r_z, maps, last)) return false;
        reduce(records.get(), length, last, out);
        return true;
    }

  private:
    bool second_maps(const std::vector<double>& xy, const std::vector<double>& r_x,
                     const std::vector<double>& to_q, const std::vector<double>& coef, double raw,
                     Maps& maps, Correction& last) const {
        const double root_n = std::sqrt(static_cast<double>(rows_.n));
        std::vector<double> second;
        if (!upper_root(xy.data(), p_, 0.5, second)) return false;
        last.to_x = upper_inverse(second, p_);
        last.again.assign(p_, 0.0);
        double left = xy[packed(p_, p_)], moved = 0.0;
        for (int c = 0; c < p_; c++) {
            for (int i = 0; i <= c; i++) last.again[c] += last.to_x[i * p_ + c] * xy[packed(p_, i)];
            moved += last.again[c] * last.again[c];
        }
        left -= moved;
        if (!(left > 1e-20 * raw) || moved > 0.01 * left) return false;
        last.y_scale = maps.y_scale = left > 0.0 ? std::sqrt(left) / root_n : 0.0;
        maps.r_x.resize(p_ * p_);
        multiply(second.data(), r_x.data(), p_, p_, p_, maps.r_x.data());
        std::vector<double> back = coef;  // y = q1 (coef + to_x again) + r
        for (int i = 0; i < p_; i++)
            for (int c = i; c < p_; c++) back[i] += last.to_x[i * p_ + c] * last.again[c];
        maps.beta0.assign(p_, 0.0);
        for (int i = 0; i < p_; i++)
            for (int c = i; c < p_; c++) maps.beta0[i] += to_q[i * p_ + c] * back[c];
        for (double& x : maps.r_x) x /= root_n;
        for (double& x : last.to_x) x *= root_n;
        for (double& x : last.again) x /= root_n;
        return true;
    }

    bool second_basis(const std::vector<double>& zz, const std::vector<double>& r_z, Maps& maps,
                      Correction& last) const {
        std::vector<double> second;
        if (!basis(zz.data(), k_, parts_, 0.5, second)) return false;
        for (double& x : second) x /= std::sqrt(static_cast<double>(n_levels_));
        maps.r_z.resize(k_ * k_);
        multiply(second.data(), r_z.data(), k_, k_, k_, maps.r_z.data());
        last.to_z = upper_inverse(second, k_);
        return true;
    }

    void reduce(const double* records, std::size_t length, const Correction& last,
                const LevelArrays& out) const {
        const Index slab = 1024;
        std::vector<double> a(triangle(k_)), b(k_ * q_), part(triangle(q_));
        int order[MAX_SIZE];
        std::fill(out.within, out.within + q_ * q_, 0.0);
        for (int i = 0; i < q_; i++) out.within[i * q_ + i] = static_cast<double>(rows_.n);
        for (Index start = 0; start < n_levels_; start += slab) {
            std::fill(part.begin(), part.end(), 0.0);
            for (Index j = start; j < std::min(start + slab, n_levels_); j++) {
                double* t = out.dense + j * k_ * q_;
                correct(last, k_, p_, records + j * length, a.data(), b.data());
                level_root(a.data(), b.data(), k_, q_, out.root + j * k_ * k_, t, order);
                for (int c = 0, s = 0; c < q_; c++)
                    for (int d = 0; d <= c; d++, s++)
                        for (int i = 0; i < k_; i++) part[s] += t[i * q_ + c] * t[i * q_ + d];
            }
            for (int c = 0; c < q_; c++)
                for (int d = 0; d < q_; d++) out.within[c * q_ + d] -= part[packed(c, d)];
        }
    }

    const Rows& rows_;
    const Codes& codes_;
    Index n_levels_;
    const std::vector<Part>& parts_;
    int p_, q_, k_;
};

}  // namespace henderson
