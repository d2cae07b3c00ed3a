// The mixed-model equations of a model with several grouping factors at one Sigma, and the gradient.
// The head is eliminated level by level; the tail's equations are one dense matrix, of which the
// lower triangle is kept. The names are those of criterion.py, its twin.
#pragma once

#include <memory>

#include "lapack.hpp"
#include "links.hpp"
#include "one_factor.hpp"

namespace henderson {

// A factor's place: its effects are offset ... offset + levels size - 1 of all the effects, head
// first, and rows and columns base ... base + size - 1 of Sigma.
struct Place {
    Index levels;
    int size, base;
    std::size_t offset;
};

// Cross-products as crossproducts.py has them: C (J, K, K), T (J, K, q) for the q = p + 1 columns
// [X y], `within` for them (q, q) and between them and the tail (q, m), Z_tail'Z_tail (m, m), of
// which the lower triangle is read.
struct CrossedData {
    const double *root, *dense, *within_xy, *within_zxy, *squares;
};

// Log determinants of V1, of S and of X'V^-1X.
struct Logs {
    double head = 0.0, tail = 0.0, fixed = 0.0;
};

class CrossedEquations {
  public:
    // keep: whether S^-1 is to stay beside T.
    CrossedEquations(const Model& model, const CrossedData& data, const Links& links,
                     std::vector<Place> places, bool keep)
        : model_(model),
          data_(data),
          links_(links),
          places_(std::move(places)),
          keep_(keep),
          j_(links.levels),
          k_(links.size),
          m_(links.m),
          q_(model.p + 1),
          all_(j_ * k_ + m_),
          inverse_(j_ * k_ * k_),
          n_xy_(q_ * q_),
          n_zxy_(q_ * m_),
          solved_(q_ * m_),
          t_xy_(q_ * m_),
          n_zz_(new double[m_ * m_]),
          factor_(new double[m_ * m_]),
          t_(new double[m_ * m_]) {}

    const Model& model() const { return model_; }

    void evaluate(const double* m, Value& out) const { evaluate(m, model_.reml, out); }

    void evaluate(const double* m, bool reml, Value& out) const {
        out.status = Status::fine;
        out.value = NAN;
        take(m);
        logs_.head = eliminate_head();
        logs_.tail = factor_tail();
        if (std::isnan(logs_.tail)) {
            out.status = Status::not_finite;
            return;
        }
        std::vector<double> schur = n_xy_;
        for (int r = 0; r < q_; r++)
            for (int c = 0; c < q_; c++)
                schur[r * q_ + c] -= dot(&n_zxy_[r * m_], &t_xy_[c * m_], m_);
        logs_.fixed = solve_fixed(schur.data(), model_.p, out);
        if (out.status != Status::fine) return;
        const double nu = static_cast<double>(reml ? model_.n - model_.p : model_.n);
        out.s2 = out.rss / nu;
        out.value = logs_.head + logs_.tail + (reml ? logs_.fixed : 0.0) +
                    nu * (1.0 + std::log(TWO_PI * out.s2)) - model_.log_weights;
    }

    // Leave the equations at m, and write C H^-1, Z_1'V1^-1Z_1 (J, K, K) and Z_1'V1^-1[X y]
    // (J, K, q), level by level.
    void finish(const double* m, double* weighted, double* gd, double* f) const {
        Value again;
        if (!std::equal(m, m + model_.size * model_.size, taken_.begin(), taken_.end()))
            evaluate(m, again);
        const int k = static_cast<int>(k_);
        for (std::size_t j = 0; j < j_; j++) {
            const double* c = data_.root + j * k * k;
            double* cf = weighted + j * k * k;
            multiply(c, &inverse_[j * k * k], k, k, k, cf);
            multiply(cf, data_.dense + j * k * q_, k, k, q_, f + j * k * q_);
            for (int a = 0; a < k; a++)
                for (int b = 0; b < k; b++) {
                    double sum = 0.0;
                    for (int l = 0; l < k; l++) sum += cf[a * k + l] * c[b * k + l];
                    gd[(j * k + a) * k + b] = sum;
                }
        }
        mirror_lower(n_zz_.get(), m_);
    }

    // What `finish` left, for whoever takes over; n_xy, n_zxy, t_xy as (q, .) rows.
    const std::vector<double>& n_xy() const { return n_xy_; }
    const std::vector<double>& n_zxy() const { return n_zxy_; }
    const std::vector<double>& t_xy() const { return t_xy_; }
    std::unique_ptr<double[]> take_n_zz() { return std::move(n_zz_); }
    std::unique_ptr<double[]> take_factor() { return std::move(factor_); }
    const Logs& logs() const { return logs_; }

  protected:
    static double dot(const double* a, const double* b, std::size_t n) {
        double sum[4] = {0.0, 0.0, 0.0, 0.0};
        std::size_t i = 0;
        for (; i + 4 <= n; i += 4)
            for (int l = 0; l < 4; l++) sum[l] += a[i + l] * b[i + l];
        for (; i < n; i++) sum[0] += a[i] * b[i];
        return (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }

    // -- the factorisation ---------------------------------------------------------------------

    // M_t of every factor, its inverse where dividing by it loses no digits to speak of.
    void take(const double* m) const {
        taken_.assign(m, m + model_.size * model_.size);
        factors_.clear();
        tail_is_zero_ = true;
        for (const Place& place : places_) {
            std::vector<double> block(place.size * place.size);
            for (int i = 0; i < place.size; i++)
                for (int j = 0; j < place.size; j++) {
                    block[i * place.size + j] =
                        m[(place.base + i) * model_.size + place.base + j];
                    if (place.base) tail_is_zero_ &= block[i * place.size + j] == 0.0;
                }
            factors_.push_back(std::move(block));
        }
    }

    // H^-1 per level, and U'V1^-1U for U = [Z_tail X y]; the value is log|V1|.
    double eliminate_head() const {
        const double* m = factors_[0].data();
        double log_det = 0.0;
        double half[MAX_SIZE * MAX_SIZE], h[MAX_SIZE * MAX_SIZE], upper[MAX_SIZE * MAX_SIZE];
        const std::size_t k = k_, q = q_;
        std::vector<double> moved(q * j_ * k);
        std::copy(data_.within_xy, data_.within_xy + q * q, n_xy_.begin());
        for (std::size_t j = 0; j < j_; j++) {
            const double* c = data_.root + j * k * k;
            double* inverse = &inverse_[j * k * k];
            if (k == 1) {
                const double half_1 = c[0] * m[0], h_1 = 1.0 + half_1 * half_1;
                inverse[0] = 1.0 / h_1;
                log_det += std::log(h_1);
            } else {
                for (std::size_t a = 0; a < k; a++)
                    for (std::size_t b = 0; b < k; b++) {
                        half[a * k + b] = 0.0;
                        for (std::size_t l = 0; l < k; l++)
                            half[a * k + b] += c[l * k + a] * m[l * k + b];
                    }
                for (std::size_t a = 0; a < k; a++)
                    for (std::size_t b = 0; b < k; b++) {
                        h[a * k + b] = a == b ? 1.0 : 0.0;
                        for (std::size_t l = 0; l < k; l++)
                            h[a * k + b] += half[a * k + l] * half[b * k + l];
                    }
                cholesky(h, static_cast<int>(k), h);
                for (std::size_t a = 0; a < k; a++) log_det += 2.0 * std::log(h[a * k + a]);
                inverse_transposed(h, static_cast<int>(k), upper);
                for (std::size_t a = 0; a < k; a++)
                    for (std::size_t b = 0; b < k; b++) {
                        inverse[a * k + b] = 0.0;
                        for (std::size_t l = std::max(a, b); l < k; l++)
                            inverse[a * k + b] += upper[a * k + l] * upper[b * k + l];
                    }
            }
            const double* t = data_.dense + j * k * q;
            for (std::size_t r = 0; r < k; r++)
                for (std::size_t s = 0; s < q; s++) {
                    double sum = 0.0;
                    for (std::size_t l = 0; l < k; l++) sum += inverse[r * k + l] * t[l * q + s];
                    moved[s * j_ * k + j * k + r] = sum;
                    for (std::size_t u = 0; u < q; u++) n_xy_[u * q + s] += t[r * q + u] * sum;
                }
        }
        std::copy(data_.within_zxy, data_.within_zxy + q * m_, n_zxy_.begin());
        add_transposed(links_, moved.data(), static_cast<int>(q), n_zxy_.data());
        if (std::all_of(factors_[0].begin(), factors_[0].end(), [](double x) { return x == 0.0; }))
            std::copy(data_.squares, data_.squares + m_ * m_, n_zz_.get());
        else
            gram(links_, less_one().data(), data_.squares, n_zz_.get());
        return log_det;
    }

    // H^-1 - I (J, K, K).
    std::vector<double> less_one() const {
        std::vector<double> out = inverse_;
        for (std::size_t j = 0; j < j_; j++)
            for (std::size_t i = 0; i < k_; i++) out[(j * k_ + i) * k_ + i] -= 1.0;
        return out;
    }

    // Rows of effects of the tail (count, m), every level's K_t effects x replaced by x A_t.
    void scale(std::vector<double>& rows, const std::vector<std::vector<double>>& maps,
               bool transposed) const {
        double x[MAX_SIZE];
        const std::size_t count = rows.size() / std::max<std::size_t>(m_, 1);
        for (std::size_t c = 0; c < count; c++)
            for (std::size_t t = 1; t < places_.size(); t++) {
                const int size = places_[t].size;
                const double* map = maps[t].data();
                double* at = rows.data() + c * m_ + (places_[t].offset - j_ * k_);
                for (Index l = 0; l < places_[t].levels; l++, at += size) {
                    std::copy(at, at + size, x);
                    for (int j = 0; j < size; j++) {
                        at[j] = 0.0;
                        for (int i = 0; i < size; i++)
                            at[j] += x[i] * (transposed ? map[j * size + i] : map[i * size + j]);
                    }
                }
            }
    }

    // to = L' A L, or L A L', lower triangles, for L block-diagonal with maps[t] at each level.
    void sandwich(const double* a, const std::vector<std::vector<double>>& maps, bool transposed,
                  double* to) const {
        const std::size_t head = j_ * k_;
        if (std::all_of(places_.begin() + 1, places_.end(),
                        [](const Place& p) { return p.size == 1; })) {
            std::vector<double> scales(m_);
            for (std::size_t t = 1; t < places_.size(); t++)
                std::fill_n(scales.begin() + (places_[t].offset - head), places_[t].levels,
                            maps[t][0]);
            for (std::size_t r = 0; r < m_; r++)
                for (std::size_t c = 0; c <= r; c++)
                    to[r * m_ + c] = a[r * m_ + c] * scales[r] * scales[c];
            return;
        }
        double block[MAX_SIZE][MAX_SIZE], half[MAX_SIZE][MAX_SIZE];
        for (std::size_t s = 1; s < places_.size(); s++)
            for (Index i = 0; i < places_[s].levels; i++)
                for (std::size_t t = 1; t <= s; t++)
                    for (Index j = 0; j < (s == t ? i + 1 : places_[t].levels); j++) {
                        const int ks = places_[s].size, kt = places_[t].size;
                        const std::size_t row = places_[s].offset - head + i * ks;
                        const std::size_t column = places_[t].offset - head + j * kt;
                        const double *left = maps[s].data(), *right = maps[t].data();
                        for (int x = 0; x < ks; x++)
                            for (int y = 0; y < kt; y++)
                                block[x][y] = a[std::max(row + x, column + y) * m_ +
                                                std::min(row + x, column + y)];
                        for (int x = 0; x < ks; x++)
                            for (int y = 0; y < kt; y++) {
                                half[x][y] = 0.0;
                                for (int l = 0; l < kt; l++)
                                    half[x][y] += block[x][l] * (transposed ? right[y * kt + l]
                                                                            : right[l * kt + y]);
                            }
                        for (int x = 0; x < ks; x++)
                            for (int y = 0; y < kt; y++) {
                                double sum = 0.0;
                                for (int l = 0; l < ks; l++)
                                    sum += half[l][y] *
                                           (transposed ? left[x * ks + l] : left[l * ks + x]);
                                if (row + x >= column + y) to[(row + x) * m_ + column + y] = sum;
                            }
                    }
    }

    // The Cholesky factor of S = I + Lambda'N Lambda, S^-1 Lambda'N_xy and T N_xy; the value is
    // log|S|, not a number if S is not positive definite.
    double factor_tail() const {
        std::fill(t_xy_.begin(), t_xy_.end(), 0.0);
        solved_ = n_zxy_;
        if (tail_is_zero_) return 0.0;
        sandwich(n_zz_.get(), factors_, false, factor_.get());
        for (std::size_t i = 0; i < m_; i++) factor_[i * m_ + i] += 1.0;
        if (!factor_in_place(factor_.get(), static_cast<int>(m_))) return NAN;
        double log_det = 0.0;
        for (std::size_t i = 0; i < m_; i++) log_det += 2.0 * std::log(factor_[i * m_ + i]);
        scale(solved_, factors_, false);
        solve_rows(factor_.get(), static_cast<int>(m_), solved_.data(), q_);
        t_xy_ = solved_;
        scale(t_xy_, factors_, true);
        return log_det;
    }

    // -- first order ---------------------------------------------------------------------------

    // S^-1 in t_, inverses of the M_t where they exist in numbers.
    void invert_tail() const {
        inverses_.assign(places_.size(), {});
        divisible_ = !tail_is_zero_;
        if (tail_is_zero_) return;
        double u[MAX_SIZE * MAX_SIZE], s[MAX_SIZE], v[MAX_SIZE * MAX_SIZE];
        for (std::size_t t = 1; t < places_.size(); t++) {
            const int k = places_[t].size;
            singular_values(factors_[t].data(), k, u, s, v);
            const auto [least, most] = std::minmax_element(s, s + k);
            const double information = mean_diagonal(places_[t]);
            if (*least * *least * information < 1e-3 || *least < 1e-5 * *most) divisible_ = false;
            if (!divisible_) break;
            inverses_[t].assign(k * k, 0.0);
            for (int i = 0; i < k; i++)
                for (int j = 0; j < k; j++)
                    for (int l = 0; l < k; l++)
                        inverses_[t][i * k + j] += v[i * k + l] * u[j * k + l] / s[l];
        }
        for (std::size_t r = 0; r < m_; r++)
            std::copy(&factor_[r * m_], &factor_[r * m_] + r + 1, &t_[r * m_]);
        invert_in_place(t_.get(), static_cast<int>(m_));
    }

    double mean_diagonal(const Place& place) const {
        const std::size_t from = place.offset - j_ * k_, count = place.levels * place.size;
        double sum = 0.0;
        for (std::size_t i = from; i < from + count; i++) sum += n_zz_[i * m_ + i];
        return sum / static_cast<double>(std::max<std::size_t>(count, 1));
    }

    // gd, cf = C H^-1, the diagonal blocks of G = Z'V^-1Z, and rows (q, effects) of Z'V^-1[X y],
    // X rotated by R^-1; h = Z'Py. Leaves T in t_.
    void first_order(const Value& at) const {
        blocks_.assign(places_.size(), {});
        e_.assign(q_ * all_, 0.0);
        tail_blocks();
        if (!tail_is_zero_) sandwich(t_copy(), factors_, true, t_.get());
        head_blocks();
        head_rows();
        tail_rows();
        rotate(at);
    }

    // S^-1, kept apart from T if it is asked for.
    const double* t_copy() const {
        if (!keep_) return t_.get();
        s_inverse_.assign(t_.get(), t_.get() + m_ * m_);
        return s_inverse_.data();
    }

    // The tail's diagonal blocks of G = M^-T (I - S^-1) M^-1 = N - N T N.
    void tail_blocks() const {
        std::vector<double> taken;
        if (!tail_is_zero_ && !divisible_) taken = quadratic_of_tail();
        for (std::size_t t = 1; t < places_.size(); t++) {
            const Place& place = places_[t];
            const int k = place.size;
            blocks_[t].assign(place.levels * k * k, 0.0);
            double inner[MAX_SIZE * MAX_SIZE], half[MAX_SIZE * MAX_SIZE];
            for (Index l = 0; l < place.levels; l++) {
                const std::size_t at = place.offset - j_ * k_ + l * k;
                double* out = &blocks_[t][l * k * k];
                for (int i = 0; i < k; i++)
                    for (int j = 0; j <= i; j++) {
                        const std::size_t where = (at + i) * m_ + at + j;
                        double x = n_zz_[where];
                        if (divisible_) x = (i == j ? 1.0 : 0.0) - t_[where];
                        if (!taken.empty()) x -= taken[where];
                        inner[i * k + j] = inner[j * k + i] = x;
                    }
                if (!divisible_) {
                    std::copy(inner, inner + k * k, out);
                    continue;
                }
                multiply(inner, inverses_[t].data(), k, k, k, half);
                for (int i = 0; i < k; i++)
                    for (int j = 0; j < k; j++)
                        for (int x = 0; x < k; x++)
                            out[i * k + j] += inverses_[t][x * k + i] * half[x * k + j];
            }
        }
    }

    // N T N (m, m), from S^-1 in t_.
    std::vector<double> quadratic_of_tail() const {
        const int m = static_cast<int>(m_);
        std::vector<double> n(n_zz_.get(), n_zz_.get() + m_ * m_), moved(m_ * m_), out(m_ * m_);
        mirror_lower(n.data(), m_);
        std::vector<double> scaled = n;
        scale(scaled, factors_, false);
        symmetric_rows(t_.get(), m, scaled.data(), m, moved.data());
        product(moved.data(), scaled.data(), m, m, m, out.data(), true);
        return out;
    }

    void head_blocks() const {
        const std::size_t k = k_;
        cf_.resize(j_ * k * k);
        gd_.resize(j_ * k * k);
        blocks_[0].assign(j_ * k * k, 0.0);
        if (!tail_is_zero_) quadratic_of_levels(links_, t_.get(), blocks_[0].data());
        double half[MAX_SIZE * MAX_SIZE];
        for (std::size_t j = 0; j < j_; j++) {
            const double* c = data_.root + j * k * k;
            double *cf = &cf_[j * k * k], *gd = &gd_[j * k * k], *g = &blocks_[0][j * k * k];
            const int size = static_cast<int>(k);
            multiply(c, &inverse_[j * k * k], size, size, size, cf);
            multiply(cf, g, size, size, size, half);
            for (std::size_t a = 0; a < k; a++)
                for (std::size_t b = 0; b < k; b++) {
                    double own = 0.0, taken = 0.0;
                    for (std::size_t l = 0; l < k; l++) {
                        own += cf[a * k + l] * c[b * k + l];
                        taken += half[a * k + l] * cf[b * k + l];
                    }
                    gd[a * k + b] = own;
                    g[a * k + b] = own - taken;
                }
        }
    }

    void head_rows() const {
        const std::size_t k = k_, q = q_;
        std::vector<double> linked(q * j_ * k);
        apply(links_, t_xy_.data(), static_cast<int>(q), linked.data());
        for (std::size_t c = 0; c < q; c++)
            for (std::size_t j = 0; j < j_; j++)
                for (std::size_t a = 0; a < k; a++) {
                    double sum = 0.0;
                    for (std::size_t l = 0; l < k; l++)
                        sum += cf_[(j * k + a) * k + l] * (data_.dense[(j * k + l) * q + c] -
                                                           linked[c * j_ * k + j * k + l]);
                    e_[c * all_ + j * k + a] = sum;
                }
    }

    void tail_rows() const {
        std::vector<double> rows = n_zxy_;
        if (divisible_) {  // (I - N T) N_xy = Lambda^-T S^-1 Lambda'N_xy
            rows = solved_;
            scale(rows, inverses_, false);
        } else if (!tail_is_zero_) {
            std::vector<double> moved(q_ * m_);
            symmetric_rows(n_zz_.get(), static_cast<int>(m_), t_xy_.data(), q_, moved.data());
            for (std::size_t i = 0; i < moved.size(); i++) rows[i] -= moved[i];
        }
        for (int c = 0; c < q_; c++)
            std::copy(&rows[c * m_], &rows[c * m_] + m_, &e_[c * all_ + j_ * k_]);
    }

    // The last row becomes h = Z'V^-1(y - X beta), the others Z'V^-1X R^-1.
    void rotate(const Value& at) const {
        const int p = model_.p;
        double* h = &e_[p * all_];
        for (int c = 0; c < p; c++)
            for (std::size_t i = 0; i < all_; i++) h[i] -= at.beta[c] * e_[c * all_ + i];
        for (int c = p - 1; c >= 0; c--) {  // R^-1 is upper triangular
            double* row = &e_[c * all_];
            for (std::size_t i = 0; i < all_; i++) row[i] *= at.r_inverse[c * p + c];
            for (int b = 0; b < c; b++) {
                const double x = at.r_inverse[b * p + c];
                for (std::size_t i = 0; i < all_; i++) row[i] += x * e_[b * all_ + i];
            }
        }
    }

    // sum_j (row a of effects i) (row a of effects j) of one factor.
    double moment(int row, const Place& place, int i, int j) const {
        const double* at = &e_[row * all_ + place.offset];
        double sum = 0.0;
        for (Index l = 0; l < place.levels; l++, at += place.size) sum += at[i] * at[j];
        return sum;
    }

    // The traces of V^-1 or P, (K, K) of one factor, added to the model's (size, size).
    void add_traces(std::size_t t, bool reml, std::vector<double>& d) const {
        const Place& place = places_[t];
        const int k = place.size;
        for (int i = 0; i < k; i++)
            for (int j = 0; j <= i; j++) {
                double sum = 0.0;
                for (Index l = 0; l < place.levels; l++) sum += blocks_[t][(l * k + i) * k + j];
                for (int c = 0; reml && c < model_.p; c++) sum -= moment(c, place, i, j);
                d[(place.base + i) * model_.size + place.base + j] += sum;
                if (i != j) d[(place.base + j) * model_.size + place.base + i] += sum;
            }
    }

    void add_gradient(std::size_t t, const Value& at, std::vector<double>& d) const {
        add_traces(t, model_.reml, d);
        const Place& place = places_[t];
        for (int i = 0; i < place.size; i++)
            for (int j = 0; j < place.size; j++)
                d[(place.base + i) * model_.size + place.base + j] -=
                    moment(model_.p, place, i, j) / at.s2;
    }

    const Model& model_;
    CrossedData data_;
    const Links& links_;
    std::vector<Place> places_;
    bool keep_;
    std::size_t j_, k_, m_;
    int q_;
    std::size_t all_;
    mutable Logs logs_;
    mutable std::vector<double> taken_;  // M at the point evaluated last
    mutable bool tail_is_zero_ = true, divisible_ = false;
    mutable std::vector<std::vector<double>> factors_, inverses_, blocks_;
    mutable std::vector<double> inverse_, n_xy_, n_zxy_, solved_, t_xy_;
    mutable std::vector<double> cf_, gd_, e_, s_inverse_;
    std::unique_ptr<double[]> n_zz_, factor_, t_;
};

}  // namespace henderson
