// The criterion of a model with one grouping factor, and its exact first and second derivatives
// in the entries of Sigma. The sums over levels are made by the passes; here they are assembled.
#pragma once

#include <cmath>
#include <stdexcept>
#include <vector>

#include "memory.hpp"
#include "passes.hpp"
#include "small.hpp"

namespace henderson {

constexpr double TWO_PI = 6.283185307179586;

enum class Status { fine = 0, singular_x = 1, explained = 2, not_finite = 3, bound = 4 };

// A random-effect term: columns start..stop-1, with a diagonal or a free covariance matrix.
struct Term {
    int start, stop;
    bool diagonal;
};

// E = e_i e_j' + e_j e_i' (or e_i e_i'), the entries of Sigma that terms may move, in the order of
// the layout: term by term, the lower triangle row by row.
struct Direction {
    int i, j;
};

inline std::vector<Direction> directions_of(const std::vector<Term>& terms) {
    std::vector<Direction> out;
    for (const Term& term : terms)
        for (int i = term.start; i < term.stop; i++)
            for (int j = term.start; j <= i; j++) out.push_back({i, j});
    return out;
}

// What one model is, its data aside. `size` counts the effects per level of all its factors, whose
// covariance matrices stand one after the other in one block-diagonal Sigma; the effects of factor
// t are `ends[t]` to `ends[t + 1] - 1`.
struct Model {
    Index n, n_levels;
    int size, p;
    bool reml;
    double log_weights;
    std::vector<Term> terms;
    std::vector<Direction> directions;
    std::vector<int> ends;
    std::vector<double> residual;  // where the parameters of the residuals' structure start

    Model(Index rows, Index levels, std::vector<int> sizes, int fixed, bool restricted,
          double logs, std::vector<Term> parts)
        : n(rows),
          n_levels(levels),
          size(0),
          p(fixed),
          reml(restricted),
          log_weights(logs),
          terms(std::move(parts)),
          directions(directions_of(terms)),
          ends(1, 0) {
        for (int k : sizes) {
            if (k < 1 || k > MAX_SIZE) throw std::invalid_argument("1 to 8 effects per level");
            ends.push_back(size += k);
        }
        if (size > MAX_EFFECTS) throw std::invalid_argument("too many effects");
    }
    double nu() const { return static_cast<double>(reml ? n - p : n); }
    int count() const { return static_cast<int>(directions.size()); }
    int extra() const { return static_cast<int>(residual.size()); }
    // Numbers of a point: M, then the parameters of the residuals.
    int length() const { return size * size + extra(); }
};

// The weights of the moment equations, tr(P V_a P V_b), tr(P V_a) and y'P V_a P y.
struct Moments {
    std::vector<double> pairs, singles, forms;
};

// Levels of a model in blocks of lanes: the part that responses share, and that of one response.
inline Index block_count(const Model& m) {
    const int width = passes().width;
    return (m.n_levels + width - 1) / width;
}

// Put `rows` doubles per level, level j's at from + j stride, into blocks of `length` entries at
// offset `at`; `inner` reads entry e of a level at from[j stride + (e / run) step + e % run].
inline void pack(const Model& m, const double* from, Index stride, int entries, int run, Index step,
                 double* to, int length, int at) {
    const int width = passes().width;
    const Index blocks = block_count(m);
    for (Index b = 0; b < blocks; b++)
        for (int e = 0; e < entries; e++) {
            double* lanes = to + (b * length + at + e) * width;
            const double* source = from + (e / run) * step + e % run;
            for (int l = 0; l < width; l++) {
                const Index level = b * width + l;
                lanes[l] = level < m.n_levels ? source[level * stride] : 0.0;
            }
        }
}

// root (J, K, K) and dense (J, K, p + 1): everything but the response.
inline Doubles pack_shared(const Model& m, const double* root, const double* dense) {
    const int k = m.size, p = m.p, length = k * (k + p);
    Doubles to(static_cast<std::size_t>(block_count(m)) * length * passes().width);
    pack(m, root, k * k, k * k, k * k, 0, to.get(), length, 0);
    if (p) pack(m, dense, k * (p + 1), k * p, p, p + 1, to.get(), length, k * k);
    return to;
}

inline Doubles pack_response(const Model& m, const double* dense) {
    const int k = m.size, p = m.p;
    Doubles to(static_cast<std::size_t>(block_count(m)) * k * passes().width);
    pack(m, dense + p, k * (p + 1), k, 1, p + 1, to.get(), k, 0);
    return to;
}

// The criterion at one Sigma, and the estimates that go with it.
struct Value {
    Status status = Status::fine;
    double value = 0.0, rss = 0.0, s2 = 0.0;
    std::vector<double> beta, r_inverse;  // (p,), (p, p): R^-1 with X'V^-1X = R'R
};

// beta, R^-1 and y'Py from [X y]'V^-1[X y] (p + 1, p + 1); the value is log|X'V^-1X|.
inline double solve_fixed(const double* schur, int p, Value& out) {
    const int q = p + 1;
    std::vector<double> lower(p * p);
    out.beta.assign(p, 0.0);
    out.r_inverse.resize(p * p);
    for (int i = 0; i < p; i++)
        for (int j = 0; j < p; j++) lower[i * p + j] = schur[i * q + j];
    if (!cholesky(lower.data(), p, lower.data())) {
        out.status = Status::singular_x;
        return 0.0;
    }
    double log_det = 0.0;
    for (int i = 0; i < p; i++) log_det += 2.0 * std::log(lower[i * p + i]);
    inverse_transposed(lower.data(), p, out.r_inverse.data());
    for (int c = 0; c < p; c++) {
        double score = 0.0;
        for (int i = 0; i <= c; i++) score += out.r_inverse[i * p + c] * schur[i * q + p];
        for (int i = 0; i <= c; i++) out.beta[i] += out.r_inverse[i * p + c] * score;
    }
    // the quadratic form of (-beta, 1): no cancellation in the cross term's square
    out.rss = 0.0;
    for (int i = 0; i < q; i++) {
        double row = schur[i * q + p];
        for (int j = 0; j < p; j++) row -= schur[i * q + j] * out.beta[j];
        out.rss += (i < p ? -out.beta[i] : 1.0) * row;
    }
    if (!(out.rss > 0.0)) out.status = Status::explained;
    return log_det;
}

// d: dd/dSigma (K, K); extra: the gradient in the parameters of the residuals; hessian: d_ab along
// the directions, then these; the rest are the sums they come from.
struct Derivatives {
    std::vector<double> d, extra, hessian;
    std::vector<double> trace, quadratic, fourth, mixed, outer;
};

// The criterion of one factor. Any class with its public members can be descended.
class OneFactor {
  public:
    // within: what [X y]'[X y] has that is orthogonal to Z, (p + 1, p + 1).
    OneFactor(const Model& model, const double* shared)
        : model_(model),
          within_((model.p + 1) * (model.p + 1)),
          schur_(within_.size()),
          products_(triangle(model.p + 1)),
          work_(level_work(model.p, model.size)) {
        levels_.blocks = block_count(model);
        levels_.size = model.size;
        levels_.p = model.p;
        levels_.shared = shared;
        levels_.y = nullptr;
    }

    void set_response(const double* y, const double* within) {
        levels_.y = y;
        std::copy(within, within + within_.size(), within_.begin());
    }

    const Model& model() const { return model_; }

    // Whether the Hessian is.
    bool exact() const { return true; }

    void evaluate(const double* m, Value& out) const { evaluate(m, model_.reml, out); }

    void evaluate(const double* m, bool reml, Value& out) const {
        const int p = model_.p, q = p + 1;
        std::fill(products_.begin(), products_.end(), 0.0);
        FirstSums sums{products_.data(), 0.0};
        for (Index b = 0; b < levels_.blocks; b += SLAB)
            passes().first(levels_, m, b, std::min(b + SLAB, levels_.blocks), sums, work_.get());
        for (int i = 0; i < q; i++)
            for (int j = 0; j < q; j++)
                schur_[i * q + j] = within_[i * q + j] + products_[packed(i, j)];
        out.status = Status::fine;
        out.value = NAN;
        const double log_xvx = solve_fixed(schur_.data(), p, out);
        if (out.status != Status::fine) return;
        const double nu = static_cast<double>(reml ? model_.n - p : model_.n);
        out.s2 = out.rss / nu;
        out.value = sums.log_det + (reml ? log_xvx : 0.0) + nu * (1.0 + std::log(TWO_PI * out.s2)) -
                    model_.log_weights;
    }

    void differentiate(const double* m, const Value& at, Derivatives& out,
                       bool outer = false) const {
        sums(m, at, model_.reml, 1.0 / at.s2, outer, out);
        assemble(at, out);
    }

    // The sums over levels with any weight on the quadratic forms.
    void sums(const double* m, const Value& at, bool reml, double inverse_s2, bool outer,
              Derivatives& out) const {
        const int p = model_.p, pairs = triangle(model_.size);
        const bool wanted = reml || outer;
        out.trace.assign(pairs, 0.0);
        out.quadratic.assign(pairs, 0.0);
        out.fourth.assign(pairs * pairs, 0.0);
        out.mixed.assign(static_cast<std::size_t>(pairs) * p, 0.0);
        out.outer.assign(wanted ? static_cast<std::size_t>(pairs) * triangle(p) : 0, 0.0);
        SecondSums to{out.trace.data(), out.quadratic.data(), out.fourth.data(), out.mixed.data(),
                      wanted && p ? out.outer.data() : nullptr};
        const SecondInput in{at.beta.data(), at.r_inverse.data(), inverse_s2, reml};
        for (Index b = 0; b < levels_.blocks; b += SLAB)
            passes().second(levels_, m, in, b, std::min(b + SLAB, levels_.blocks), to, work_.get());
    }

    // sum over levels of tr(G E_a Q E_b), less tr(N_a N_b) for REML.
    double fourth_order(const Derivatives& s, int a, int b, bool reml) const {
        const int pairs = triangle(model_.size), p = model_.p;
        const Direction x = model_.directions[a], y = model_.directions[b];
        const int xs[2][2] = {{x.i, x.j}, {x.j, x.i}}, ys[2][2] = {{y.i, y.j}, {y.j, y.i}};
        double sum = 0.0;
        for (int u = 0; u < (x.i == x.j ? 1 : 2); u++)
            for (int v = 0; v < (y.i == y.j ? 1 : 2); v++)
                sum += s.fourth[packed(ys[v][1], xs[u][0]) * pairs + packed(xs[u][1], ys[v][0])];
        if (!reml) return sum;
        const double* m = s.outer.data() + static_cast<std::size_t>(packed(x.i, x.j)) * triangle(p);
        const double* n = s.outer.data() + static_cast<std::size_t>(packed(y.i, y.j)) * triangle(p);
        for (int i = 0, t = 0; i < p; i++)
            for (int j = 0; j <= i; j++, t++) sum -= (i == j ? 1.0 : 2.0) * m[t] * n[t];
        return sum;
    }

    // y'P V_a P y.
    double quadratic_form(const Derivatives& s, int a) const {
        const Direction x = model_.directions[a];
        return (x.i == x.j ? 1.0 : 2.0) * s.quadratic[packed(x.i, x.j)];
    }

    // What the moment equations need at a point.
    void moments(const double* m, const Value& at, Moments& out) const {
        const int count = model_.count();
        Derivatives s;
        sums(m, at, true, 0.0, false, s);
        out.pairs.resize(count * count);
        out.singles.resize(count);
        out.forms.resize(count);
        for (int a = 0; a < count; a++) {
            const Direction x = model_.directions[a];
            out.singles[a] = (x.i == x.j ? 1.0 : 2.0) * s.trace[packed(x.i, x.j)];
            out.forms[a] = quadratic_form(s, a);
            for (int b = 0; b < count; b++)
                out.pairs[a * count + b] = -fourth_order(s, a, b, true);
        }
    }

  private:
    // Sums restart every so many blocks, so that rounding does not grow with their number.
    static constexpr Index SLAB = 1024;

    void assemble(const Value& at, Derivatives& s) const {
        const int k = model_.size, p = model_.p, count = model_.count();
        s.d.resize(k * k);
        for (int i = 0; i < k; i++)
            for (int j = 0; j < k; j++)
                s.d[i * k + j] = s.trace[packed(i, j)] - s.quadratic[packed(i, j)] / at.s2;
        s.hessian.resize(count * count);
        const double nu = model_.nu();
        for (int a = 0; a < count; a++)
            for (int b = 0; b <= a; b++) {
                const Direction x = model_.directions[a], y = model_.directions[b];
                const double* u = s.mixed.data() + packed(x.i, x.j) * p;
                const double* v = s.mixed.data() + packed(y.i, y.j) * p;
                double uv = 0.0;
                for (int c = 0; c < p; c++) uv += u[c] * v[c];
                const double q = quadratic_form(s, a) * quadratic_form(s, b);
                s.hessian[a * count + b] = s.hessian[b * count + a] =
                    fourth_order(s, a, b, model_.reml) - 2.0 * uv / at.s2 -
                    q / (at.s2 * at.s2 * nu);
            }
    }

    const Model& model_;
    Levels levels_;
    std::vector<double> within_;
    mutable std::vector<double> schur_, products_;
    Doubles work_;
};

}  // namespace henderson
