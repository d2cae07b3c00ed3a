// The criterion of a model with one grouping factor and structured residuals, in M and phi. The
// sums over levels are made by the passes; here they are assembled.
#pragma once

#include <memory>
#include <vector>

#include "one_factor.hpp"
#include "structured_weights.hpp"

namespace henderson {

// A_jk (k, J, q, q) in blocks of lanes, as `Sets` has them; what is between columns of [X y], added
// up over levels, to `fixed` (k, packed p + 1).
inline Doubles pack_sets(const Model& m, const double* sets, int count,
                         std::vector<double>& fixed) {
    const int k = m.size, q = k + m.p + 1, length = set_length(k, m.p), lanes = passes().width;
    const int pairs = triangle(m.p + 1);
    const Index blocks = block_count(m);
    Doubles to(static_cast<std::size_t>(blocks) * count * length * lanes);
    fixed.assign(static_cast<std::size_t>(count) * pairs, 0.0);
    for (Index b = 0; b < blocks; b++)
        for (int s = 0; s < count; s++) {
            double* out = to.get() + (b * count + s) * length * lanes;
            for (int l = 0; l < lanes; l++) {
                const Index level = b * lanes + l;
                if (level >= m.n_levels) {
                    for (int t = 0; t < length; t++) out[t * lanes + l] = 0.0;
                    continue;
                }
                const double* from = sets + (s * m.n_levels + level) * q * q;
                int t = 0;
                for (int i = 0; i < k; i++)
                    for (int j = 0; j <= i; j++) out[t++ * lanes + l] = from[i * q + j];
                for (int i = 0; i < k; i++)
                    for (int j = k; j < q; j++) out[t++ * lanes + l] = from[i * q + j];
                double* sum = fixed.data() + s * pairs;
                for (int i = k; i < q; i++)
                    for (int j = k; j <= i; j++) *sum++ += from[i * q + j];
            }
        }
    return to;
}

class Structured {
  public:
    // packed, fixed: from pack_sets.
    Structured(const Model& model, const Recipe& recipe, const double* packed,
               const std::vector<double>& fixed)
        : model_(model),
          recipe_(recipe),
          fixed_(fixed),
          shared_(static_cast<std::size_t>(block_count(model)) * model.size *
                  (model.size + model.p) * passes().width),
          y_(static_cast<std::size_t>(block_count(model)) * model.size * passes().width),
          inner_(model, shared_.get()),
          work_(structured_work(model.p, model.size, recipe.sets(), recipe.extra())) {
        sets_ = {packed, recipe.sets(), model.size, model.p};
        levels_ = {block_count(model), model.size, model.p, shared_.get(), y_.get()};
    }

    const Model& model() const { return model_; }

    // Whether the Hessian is.
    bool exact() const { return true; }

    void evaluate(const double* m, Value& out) const { evaluate(m, model_.reml, out); }

    void evaluate(const double* m, bool reml, Value& out) const {
        if (!whiten(m)) {
            out.status = Status::bound;
            out.value = NAN;
            return;
        }
        inner_.evaluate(m, reml, out);
        out.value += weights_.log_r;
    }

    void differentiate(const double* m, const Value& at, Derivatives& out) const {
        whiten(m);
        inner_.differentiate(m, at, out);
        bend(m, at, out);
    }

    void moments(const double* m, const Value& at, Moments& out) const {
        whiten(m);
        inner_.moments(m, at, out);
    }

  private:
    static constexpr Index SLAB = 1024;

    // Reduce the levels at the phi that stands behind M; false if it is at a bound.
    bool whiten(const double* m) const {
        const double* phi = m + model_.size * model_.size;
        const int extra = recipe_.extra(), q = model_.p + 1;
        if (fresh_ && std::equal(phi, phi + extra, phi_.begin())) return true;
        fresh_ = false;
        if (!weigh(recipe_, phi, weights_)) return false;
        std::vector<double> taken(triangle(q), 0.0), within(q * q);
        for (Index b = 0; b < levels_.blocks; b += SLAB)
            passes().reduce(sets_, weights_.c.data(), b, std::min(b + SLAB, levels_.blocks),
                            shared_.get(), y_.get(), taken.data(), work_.get());
        const std::vector<double> whole = of_fixed(weights_.c.data());
        for (int i = 0; i < q; i++)
            for (int j = 0; j < q; j++)
                within[i * q + j] = whole[packed(i, j)] - taken[packed(i, j)];
        inner_.set_response(y_.get(), within.data());
        phi_.assign(phi, phi + extra);
        fresh_ = true;
        return true;
    }

    // The parts of gradient and Hessian that belong to phi; see structured_passes.hpp.
    void bend(const double* m, const Value& at, Derivatives& out) const {
        const int extra = recipe_.extra(), width = model_.p + 1, k = recipe_.sets();
        const int pairs = triangle(model_.size);
        std::vector<double> each(k, 0.0), forms(extra * triangle(width), 0.0),
            second(extra * extra, 0.0), mixed(extra * pairs, 0.0);
        BendSums sums{each.data(), forms.data(), second.data(), mixed.data()};
        const BendInput in{at.beta.data(), at.r_inverse.data(), 1.0 / at.s2,
                           model_.reml,    extra,               weights_.first.data()};
        for (Index b = 0; b < levels_.blocks; b += SLAB)
            passes().bend(sets_, levels_, m, in, b, std::min(b + SLAB, levels_.blocks), sums,
                          work_.get());
        add_fixed(in, sums);
        out.extra.assign(extra, 0.0);
        for (int a = 0; a < extra; a++) {
            out.extra[a] = weights_.log_first[a];
            for (int s = 0; s < k; s++) out.extra[a] += weights_.first[a * k + s] * each[s];
        }
        const int count = model_.count(), whole = count + extra;
        std::vector<double> hessian(whole * whole);
        for (int i = 0; i < count; i++)
            for (int j = 0; j < count; j++) hessian[i * whole + j] = out.hessian[i * count + j];
        for (int a = 0; a < extra; a++) {
            const double* own = forms.data() + a * triangle(width);
            for (int i = 0; i < count; i++)
                hessian[i * whole + count + a] = hessian[(count + a) * whole + i] =
                    with_sigma(at, out, i, own, mixed.data() + a * pairs);
            for (int b = 0; b <= a; b++) {
                double sum = weights_.log_second[a * extra + b] - second[a * extra + b];
                for (int s = 0; s < k; s++)
                    sum += weights_.second[(a * extra + b) * k + s] * each[s];
                sum -= products(at, own, forms.data() + b * triangle(width));
                hessian[(count + a) * whole + count + b] =
                    hessian[(count + b) * whole + count + a] = sum;
            }
        }
        out.hessian = std::move(hessian);
    }

    // The sum of the sets between columns of [X y] with some weights (k,), packed.
    std::vector<double> of_fixed(const double* weights) const {
        const int pairs = triangle(model_.p + 1);
        std::vector<double> out(pairs, 0.0);
        for (int s = 0; s < recipe_.sets(); s++)
            for (int t = 0; t < pairs; t++) out[t] += weights[s] * fixed_[s * pairs + t];
        return out;
    }

    // What the sums over levels lack: W_x'A_aW_x, and <N_x, A_k>, N_x = sum of weighted W_d W_d'.
    void add_fixed(const BendInput& at, BendSums& sums) const {
        const int p = model_.p, width = p + 1, pairs = triangle(width), count = recipe_.sets();
        for (int i = 0, t = 0; i < width; i++)
            for (int j = 0; j <= i; j++, t++) {
                double n = at.w(p, i, p) * at.w(p, j, p) * at.inverse_s2;
                for (int d = i; at.reml && d < p; d++) n += at.w(p, i, d) * at.w(p, j, d);
                for (int s = 0; s < count; s++)
                    sums.each[s] += (i == j ? n : 2.0 * n) * fixed_[s * pairs + t];
            }
        std::vector<double> half(width * width);
        for (int a = 0; a < at.extra; a++) {
            const std::vector<double> moved = of_fixed(at.weights + a * count);
            for (int i = 0; i < width; i++)
                for (int d = 0; d < width; d++) {
                    half[i * width + d] = 0.0;
                    for (int x = 0; x <= d; x++)
                        half[i * width + d] += moved[packed(i, x)] * at.w(p, x, d);
                }
            for (int d = 0, t = 0; d < width; d++)
                for (int f = 0; f <= d; f++, t++)
                    for (int x = 0; x <= d; x++)
                        sums.forms[a * pairs + t] += at.w(p, x, d) * half[x * width + f];
        }
    }

    // [reml] <S_a, S_b>_xx + (2 / s2) S_a,xy'S_b,xy + S_a,yy S_b,yy / (s2^2 nu).
    double products(const Value& at, const double* a, const double* b) const {
        const int p = model_.p;
        double sum = 0.0, across = 0.0;
        if (model_.reml)
            for (int i = 0, t = 0; i < p; i++)
                for (int j = 0; j <= i; j++, t++) sum += (i == j ? 1.0 : 2.0) * a[t] * b[t];
        const double *a_y = a + triangle(p), *b_y = b + triangle(p);
        for (int i = 0; i < p; i++) across += a_y[i] * b_y[i];
        return sum + 2.0 * across / at.s2 + a_y[p] * b_y[p] / (at.s2 * at.s2 * model_.nu());
    }

    // The second derivative along direction i of Sigma and the phi whose S is `own`.
    double with_sigma(const Value& at, const Derivatives& s, int i, const double* own,
                      const double* mixed) const {
        const int p = model_.p;
        const Direction x = model_.directions[i];
        const int t = packed(x.i, x.j);
        const double* own_y = own + triangle(p);
        double sum = (x.i == x.j ? 1.0 : 2.0) * mixed[t];
        if (model_.reml) {
            // <E, sum E S E'>, with E_i E_j' + E_j E_i' packed where i != j
            const double* outer = s.outer.data() + static_cast<std::size_t>(t) * triangle(p);
            for (int c = 0, e = 0; c < p; c++)
                for (int d = 0; d <= c; d++, e++)
                    sum += (c == d ? 1.0 : 2.0) * own[e] * outer[e];
        }
        for (int c = 0; c < p; c++) sum += 2.0 / at.s2 * s.mixed[t * p + c] * own_y[c];
        return sum + inner_.quadratic_form(s, i) * own_y[p] / (at.s2 * at.s2 * model_.nu());
    }

    const Model& model_;
    const Recipe& recipe_;
    const std::vector<double>& fixed_;
    Doubles shared_, y_;
    mutable OneFactor inner_;
    Sets sets_;
    Levels levels_;
    Doubles work_;
    mutable Weights weights_;
    mutable std::vector<double> phi_;
    mutable bool fresh_ = false;
};

}  // namespace henderson
