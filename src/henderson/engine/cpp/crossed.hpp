// The criterion of a model with several grouping factors and its derivatives in the entries of every
// Sigma; the twin of derivatives.py.
#pragma once

#include "crossed_equations.hpp"
#include "pair_traces.hpp"

namespace henderson {

class Crossed : public CrossedEquations {
  public:
    // exact: whether the Hessian is; otherwise the average information stands in.
    Crossed(const Model& model, const CrossedData& data, const Links& links,
            std::vector<Place> places, bool exact)
        : CrossedEquations(model, data, links, std::move(places), exact), exact_(exact) {}

    // Whether the Hessian is.
    bool exact() const { return exact_; }

    // At the point that was evaluated last.
    void differentiate(const double*, const Value& at, Derivatives& out) const {
        invert_tail();
        first_order(at);
        const int k = model_.size, count = model_.count();
        out.d.assign(k * k, 0.0);
        for (std::size_t t = 0; t < places_.size(); t++)
            add_gradient(t, at, out.d);
        out.hessian.resize(count * count);
        const double nu = model_.nu();
        if (exact_) make_g();
        std::vector<double> forms, quadratic = quadratic_forms(at, forms);
        std::vector<double> traces;
        if (exact_) traces = all_traces(model_.reml);
        for (int a = 0; a < count; a++)
            for (int b = 0; b < count; b++) {
                const std::size_t ab = a * count + b;
                const double qq = forms[a] * forms[b] / (at.s2 * at.s2 * nu);
                out.hessian[ab] = (exact_ ? 2.0 : 1.0) * quadratic[ab] / at.s2 - qq -
                                  (exact_ ? traces[ab] : 0.0);
            }
    }

    // At the point that was evaluated last, which is Sigma = 0 if the Hessian is not exact.
    void moments(const double*, const Value& at, Moments& out) const {
        invert_tail();
        first_order(at);
        const int count = model_.count(), k = model_.size;
        if (exact_) make_g();
        std::vector<double> sums(k * k, 0.0);
        for (std::size_t t = 0; t < places_.size(); t++) add_traces(t, true, sums);
        out.singles.resize(count);
        for (int a = 0; a < count; a++) {
            const Direction x = model_.directions[a];
            out.singles[a] = (x.i == x.j ? 1.0 : 2.0) * sums[x.i * k + x.j];
        }
        out.pairs = all_traces(true);
        quadratic_forms(at, out.forms);
    }

  private:
    const Place& place_of(const Direction& x) const {
        std::size_t t = 0;
        while (t + 1 < places_.size() && places_[t + 1].base <= x.i) t++;
        return places_[t];
    }

    // Rows (directions, effects): row `which` of e_ times E_a, in the effects of its factor.
    std::vector<double> moved_rows(int which) const {
        const int count = model_.count();
        std::vector<double> out(count * all_, 0.0);
        for (int a = 0; a < count; a++) {
            const Direction x = model_.directions[a];
            const Place& place = place_of(x);
            const double* from = &e_[which * all_ + place.offset];
            double* to = &out[a * all_ + place.offset];
            const int i = x.i - place.base, j = x.j - place.base;
            for (Index l = 0; l < place.levels; l++, from += place.size, to += place.size) {
                to[i] = from[j];
                to[j] = from[i];
            }
        }
        return out;
    }

    // w_a'Z'V^-1Z w_b of rows w (directions, effects), added to out with a weight.
    void add_products(const std::vector<double>& w, double weight, std::vector<double>& out) const {
        const int count = model_.count();
        std::vector<double> products(count * count);
        if (exact_) {
            const int all = static_cast<int>(all_);
            std::vector<double> moved(count * all_);
            product(w.data(), g_.data(), count, all, all, moved.data());
            product(moved.data(), w.data(), count, all, count, products.data(), true);
        } else {
            blocked_products(w, products);
        }
        for (int i = 0; i < count * count; i++) out[i] += weight * products[i];
    }

    void blocked_products(const std::vector<double>& w, std::vector<double>& out) const {
        const int count = model_.count();
        const std::size_t head = j_ * k_, k = k_;
        std::vector<double> near(count * head), tail(count * m_), far(count * m_, 0.0);
        std::vector<double> moved(count * head);
        for (int a = 0; a < count; a++) {
            std::copy(&w[a * all_] + head, &w[a * all_] + all_, &tail[a * m_]);
            for (std::size_t j = 0; j < j_; j++)
                for (std::size_t r = 0; r < k; r++) {
                    double own = 0.0, left = 0.0;
                    for (std::size_t s = 0; s < k; s++) {
                        const double x = w[a * all_ + j * k + s];
                        own += gd_[(j * k + r) * k + s] * x;
                        left += cf_[(j * k + s) * k + r] * x;
                    }
                    near[a * head + j * k + r] = own;
                    moved[a * head + j * k + r] = left;
                }
        }
        add_transposed(links_, moved.data(), count, far.data());  // Z_tail'V1^-1Z_1 w
        std::vector<double> own(count * m_);
        symmetric_rows(n_zz_.get(), static_cast<int>(m_), tail.data(), count, own.data());
        for (int a = 0; a < count; a++)
            for (int b = 0; b < count; b++)
                out[a * count + b] = dot(&w[a * all_], &near[b * head], head) +
                                     dot(&far[a * m_], &tail[b * m_], m_) +
                                     dot(&tail[a * m_], &far[b * m_], m_) +
                                     dot(&tail[a * m_], &own[b * m_], m_);
        if (tail_is_zero_) return;
        for (std::size_t i = 0; i < far.size(); i++) far[i] += own[i];
        scale(far, factors_, false);
        half_solve_rows(factor_.get(), static_cast<int>(m_), far.data(), count);
        for (int a = 0; a < count; a++)
            for (int b = 0; b < count; b++)
                out[a * count + b] -= dot(&far[a * m_], &far[b * m_], m_);
    }

    // y'P V_a P V_b P y (k, k), and y'P V_a P y (k,) in `forms`.
    std::vector<double> quadratic_forms(const Value&, std::vector<double>& forms) const {
        const int count = model_.count(), p = model_.p;
        const std::vector<double> w = moved_rows(p);
        std::vector<double> out(count * count, 0.0), x(count * p);
        forms.resize(count);
        add_products(w, 1.0, out);
        for (int a = 0; a < count; a++) {
            forms[a] = dot(&w[a * all_], &e_[p * all_], all_);
            for (int c = 0; c < p; c++) x[a * p + c] = dot(&w[a * all_], &e_[c * all_], all_);
        }
        for (int a = 0; a < count; a++)
            for (int b = 0; b < count; b++)
                for (int c = 0; c < p; c++) out[a * count + b] -= x[a * p + c] * x[b * p + c];
        return out;
    }

    // tr(Q V_a Q V_b), Q = P (REML) or V^-1 (ML).
    std::vector<double> all_traces(bool reml) const {
        const int count = model_.count(), p = model_.p;
        std::vector<double> out(count * count, 0.0);
        for (std::size_t s = 0; s < places_.size(); s++)
            for (std::size_t t = 0; t <= s; t++) put_traces(s, t, out);
        if (!reml) return out;
        std::vector<double> singles(count * p * p);
        for (int c = 0; c < p; c++) {
            const std::vector<double> w = moved_rows(c);
            add_products(w, -2.0, out);
            for (int a = 0; a < count; a++)
                for (int b = 0; b < p; b++)
                    singles[(a * p + c) * p + b] = dot(&w[a * all_], &e_[b * all_], all_);
        }
        for (int a = 0; a < count; a++)
            for (int b = 0; b < count; b++)
                out[a * count + b] += dot(&singles[a * p * p], &singles[b * p * p], p * p);
        return out;
    }

    void put_traces(std::size_t s, std::size_t t, std::vector<double>& out) const {
        PairTraces pairs(places_[s].size, places_[t].size);
        if (exact_)
            pairs_of_g(s, t, pairs);
        else
            pairs_at_zero(s, t, pairs);
        const int count = model_.count();
        for (int a = 0; a < count; a++)
            for (int b = 0; b < count; b++) {
                const Direction x = model_.directions[a], y = model_.directions[b];
                if (&place_of(x) != &places_[s] || &place_of(y) != &places_[t]) continue;
                const double trace =
                    pairs.trace(x.i - places_[s].base, x.j - places_[s].base,
                                y.i - places_[t].base, y.j - places_[t].base);
                out[a * count + b] = trace;
                if (s != t) out[b * count + a] = trace;
            }
    }

    void pairs_of_g(std::size_t s, std::size_t t, PairTraces& pairs) const {
        for (Index i = 0; i < places_[s].levels; i++)
            for (Index j = 0; j < places_[t].levels; j++)
                pairs.add(&g_[(places_[s].offset + i * places_[s].size) * all_ +
                              places_[t].offset + j * places_[t].size],
                          all_, 1);
    }

    // The same at Sigma = 0, where G = Z'Z: blocks of the head alone, links and N.
    void pairs_at_zero(std::size_t s, std::size_t t, PairTraces& pairs) const {
        const std::size_t head = j_ * k_;
        if (s == 0) {
            for (std::size_t j = 0; j < j_; j++) pairs.add(&gd_[j * k_ * k_], k_, 1);
            return;
        }
        const std::size_t from = places_[s].offset - head;
        if (t == 0) return pairs_of_links(from, from + places_[s].levels * places_[s].size, pairs);
        const std::size_t ks = places_[s].size, kt = places_[t].size;
        const std::size_t other = places_[t].offset - head;
        double block[MAX_SIZE * MAX_SIZE];
        for (Index i = 0; i < places_[s].levels; i++)
            for (Index j = 0; j < (s == t ? i + 1 : places_[t].levels); j++) {
                const std::size_t row = from + i * ks, column = other + j * kt;
                if (row != column) {
                    pairs.add(&n_zz_[row * m_ + column], m_, 1);
                    if (s == t) pairs.add(&n_zz_[row * m_ + column], 1, m_);
                    continue;
                }
                for (std::size_t x = 0; x < ks; x++)
                    for (std::size_t y = 0; y < kt; y++)
                        block[x * kt + y] =
                            n_zz_[(row + std::max(x, y)) * m_ + column + std::min(x, y)];
                pairs.add(block, kt, 1);
            }
    }

    // Blocks Z_s'Z_1 (K_s, K) of the tail's effects from..to-1, level by level of the head.
    void pairs_of_links(std::size_t from, std::size_t to, PairTraces& pairs) const {
        const std::size_t k = k_, ks = pairs.rows();
        double block[MAX_SIZE * MAX_SIZE];
        for (std::size_t j = 0; j < j_; j++)
            for (std::int32_t e = links_.pointers[j]; e < links_.pointers[j + 1];) {
                const std::size_t column = links_.columns[e];
                if (column < from || column >= to) {
                    e++;
                    continue;
                }
                const std::size_t level = (column - from) / ks;
                std::fill(block, block + ks * k, 0.0);
                for (; e < links_.pointers[j + 1]; e++) {
                    const std::size_t c = links_.columns[e];
                    if (c >= to || (c - from) / ks != level) break;
                    for (std::size_t a = 0; a < k; a++)
                        for (std::size_t l = 0; l < k; l++)
                            block[((c - from) % ks) * k + a] +=
                                cf_[(j * k + a) * k + l] * links_.values[e * k + l];
                }
                pairs.add(block, k, 1);
            }
    }

    // G = Z'V^-1Z (effects, effects), dense.
    void make_g() const {
        const int head = static_cast<int>(j_ * k_), m = static_cast<int>(m_);
        g_.assign(all_ * all_, 0.0);
        std::vector<double> f(head * m_, 0.0), tail(n_zz_.get(), n_zz_.get() + m_ * m_);
        for (std::size_t j = 0; j < j_; j++)
            for (std::int32_t e = links_.pointers[j]; e < links_.pointers[j + 1]; e++)
                for (std::size_t a = 0; a < k_; a++)
                    for (std::size_t l = 0; l < k_; l++)
                        f[(j * k_ + a) * m_ + links_.columns[e]] +=
                            cf_[(j * k_ + a) * k_ + l] * links_.values[e * k_ + l];
        mirror_lower(tail.data(), m_);
        std::vector<double> near(static_cast<std::size_t>(head) * head, 0.0), far = f;
        if (!tail_is_zero_) {
            // F T F', F W and N - N T N for T = Lambda S^-1 Lambda'
            std::vector<double> left = f, solved(head * m_);
            scale(left, factors_, false);
            symmetric_rows(s_inverse_.data(), m, left.data(), head, solved.data());
            product(solved.data(), left.data(), head, m, head, near.data(), true);
            if (divisible_) {
                std::vector<double> inner(m_ * m_);
                for (std::size_t i = 0; i < m_ * m_; i++) inner[i] = -s_inverse_[i];
                for (std::size_t i = 0; i < m_; i++) inner[i * m_ + i] += 1.0;
                sandwich(inner.data(), inverses_, false, tail.data());
                mirror_lower(tail.data(), m_);
                far = solved;
                scale(far, inverses_, false);
            } else {
                std::vector<double> moved(m_ * m_), taken(m_ * m_), n = tail;
                scale(solved, factors_, true);
                product(solved.data(), n.data(), head, m, m, left.data());
                for (std::size_t i = 0; i < far.size(); i++) far[i] -= left[i];
                symmetric_rows(t_.get(), m, n.data(), m, moved.data());
                product(moved.data(), n.data(), m, m, m, taken.data());
                for (std::size_t i = 0; i < taken.size(); i++) tail[i] -= taken[i];
            }
        }
        assemble_g(near, far, tail);
    }

    void assemble_g(const std::vector<double>& near, const std::vector<double>& far,
                    const std::vector<double>& tail) const {
        const std::size_t head = j_ * k_;
        for (std::size_t i = 0; i < head; i++) {
            for (std::size_t j = 0; j < head; j++) g_[i * all_ + j] = -near[i * head + j];
            for (std::size_t l = 0; l < k_; l++)
                g_[i * all_ + (i / k_) * k_ + l] += gd_[i * k_ + l];
            for (std::size_t c = 0; c < m_; c++)
                g_[i * all_ + head + c] = g_[(head + c) * all_ + i] = far[i * m_ + c];
        }
        for (std::size_t r = 0; r < m_; r++)
            std::copy(&tail[r * m_], &tail[r * m_] + m_, &g_[(head + r) * all_ + head]);
    }

    bool exact_;
    mutable std::vector<double> g_;  // Z'V^-1Z (effects, effects)
};

}  // namespace henderson
