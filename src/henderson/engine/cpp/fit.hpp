// From cross-products to the optimum: start, descent, comparison with zero, verdict. The twin of
// optimise.py.
#pragma once

#include <vector>

#include "sigma_model.hpp"

namespace henderson {

struct Fitted {
    Point at;
    bool converged;
    double decrease, curvature;
    int evaluations;
    Status status;
};

// M, term by term, with M M' as near to sigma (K, K) as each term allows: symmetric roots; behind
// it `residual`, the parameters of the residuals.
inline std::vector<double> factor_of(const Model& model, const double* sigma,
                                     const double* residual) {
    const int k = model.size;
    std::vector<double> m(k * k, 0.0);
    m.insert(m.end(), residual, residual + model.extra());
    double block[MAX_SIZE * MAX_SIZE], vectors[MAX_SIZE * MAX_SIZE], values[MAX_SIZE];
    for (const Term& term : model.terms) {
        const int from = term.start, size = term.stop - term.start;
        if (term.diagonal) {
            for (int i = from; i < term.stop; i++)
                m[i * k + i] = std::sqrt(std::max(sigma[i * k + i], 0.0));
            continue;
        }
        for (int i = 0; i < size; i++)
            for (int j = 0; j < size; j++) block[i * size + j] = sigma[(from + i) * k + from + j];
        eigen(block, size, values, vectors);
        for (int i = 0; i < size; i++)
            for (int j = 0; j < size; j++)
                for (int l = 0; l < size; l++)
                    m[(from + i) * k + from + j] += vectors[i * size + l] * vectors[j * size + l] *
                                                    std::sqrt(std::max(values[l], 0.0));
    }
    return m;
}

// Sigma with the eigenvalues of every factor's block passed through `change`.
template <class Change>
inline void with_eigenvalues(const Model& model, double* sigma, Change change) {
    double block[MAX_SIZE * MAX_SIZE], vectors[MAX_SIZE * MAX_SIZE], values[MAX_SIZE];
    for (std::size_t t = 0; t + 1 < model.ends.size(); t++) {
        const int from = model.ends[t], k = model.ends[t + 1] - from;
        for (int i = 0; i < k; i++)
            for (int j = 0; j < k; j++)
                block[i * k + j] = sigma[(from + i) * model.size + from + j];
        eigen(block, k, values, vectors);
        const double largest = values[k - 1];
        for (int l = 0; l < k; l++) values[l] = change(values[l], largest);
        for (int i = 0; i < k; i++)
            for (int j = 0; j < k; j++) {
                double sum = 0.0;
                for (int l = 0; l < k; l++)
                    sum += vectors[i * k + l] * vectors[j * k + l] * values[l];
                sigma[(from + i) * model.size + from + j] = sum;
            }
    }
}

// The minimum-norm least-squares solution of a positive semidefinite system (n, n).
inline std::vector<double> solve_semidefinite(std::vector<double> a, const std::vector<double>& b) {
    const int n = static_cast<int>(b.size());
    std::vector<double> values(n), vectors(n * n), x(n, 0.0);
    eigen(a.data(), n, values.data(), vectors.data());
    for (int e = 0; e < n; e++) {
        if (!(std::fabs(values[e]) > 1e-10 * std::fabs(values[n - 1]))) continue;
        double part = 0.0;
        for (int i = 0; i < n; i++) part += vectors[i * n + e] * b[i];
        for (int i = 0; i < n; i++) x[i] += vectors[i * n + e] * part / values[e];
    }
    return x;
}

// M from the moment equations with the weights of the prior Sigma = rules.prior I, kept off the
// boundary: E y'P G_a P y = sum_b gamma_b tr(P G_a P G_b), V = sum_a gamma_a G_a, the last G the
// identity, whose traces follow from I = V - sum_a s_a V_a and PVP = P.
template <class Criterion>
std::vector<double> moment_start(const Criterion& f, const Rules& rules, Status& status) {
    const Model& model = f.model();
    const double prior = rules.prior;
    const int k = model.size, count = model.count(), n = count + 1;
    std::vector<double> m(k * k, 0.0);
    m.insert(m.end(), model.residual.begin(), model.residual.end());
    for (int i = 0; i < k; i++) m[i * k + i] = std::sqrt(prior);
    Value at;
    f.evaluate(m.data(), true, at);
    status = at.status;
    if (status != Status::fine) return m;
    Moments sums;
    f.moments(m.data(), at, sums);
    const double nu = static_cast<double>(model.n - model.p);
    std::vector<double> system(n * n), moments(n);
    moments[count] = at.rss;
    system[n * n - 1] = nu;
    for (int a = 0; a < count; a++) {
        const Direction x = model.directions[a];
        const double own = x.i == x.j ? prior : 0.0;
        double residual = sums.singles[a];  // tr(P V_a P)
        for (int b = 0; b < count; b++) {
            const double pair = sums.pairs[a * count + b];
            system[a * n + b] = pair;
            if (model.directions[b].i == model.directions[b].j) residual -= prior * pair;
        }
        system[a * n + count] = system[count * n + a] = residual;
        system[n * n - 1] -= own * (sums.singles[a] + residual);
        moments[a] = sums.forms[a];
        moments[count] -= own * moments[a];
    }
    const std::vector<double> gamma = solve_semidefinite(system, moments);
    const double s2 = std::max(gamma[count], rules.floor * at.rss / nu);
    std::vector<double> sigma(k * k, 0.0);
    for (int a = 0; a < count; a++) {
        const Direction x = model.directions[a];
        sigma[x.i * k + x.j] = sigma[x.j * k + x.i] = gamma[a] / s2;
    }
    with_eigenvalues(model, sigma.data(), [&rules](double value, double largest) {
        return std::min(std::max(value, std::max(rules.edge * largest, 1e-3)), 1e6);
    });
    return factor_of(model, sigma.data(), model.residual.data());
}

// The smallest eigenvalue of the block of d (K, K) that belongs to a term.
inline double lowest_of_block(const Model& model, const std::vector<double>& d, const Term& term) {
    const int size = term.stop - term.start;
    double block[MAX_SIZE * MAX_SIZE], values[MAX_SIZE], vectors[MAX_SIZE * MAX_SIZE];
    for (int i = 0; i < size; i++)
        for (int j = 0; j < size; j++)
            block[i * size + j] = d[(term.start + i) * model.size + term.start + j];
    eigen(block, size, values, vectors);
    return values[0];
}

// How much the quadratic model rises from a differentiated point to a term at zero.
inline double reach_of_zero(const Model& model, const Point& point, const Term& term) {
    const int k = model.size, count = model.count(), whole = count + model.extra();
    const double* d = point.derivatives.d.data();
    const double* m = point.m.data();
    std::vector<double> sigma(k * k, 0.0), moved(count, 0.0);
    double rise = 0.0;  // tr(M'DM) = <D, Sigma>
    for (int i = term.start; i < term.stop; i++)
        for (int j = term.start; j < term.stop; j++) {
            for (int l = 0; l < k; l++) sigma[i * k + j] += m[i * k + l] * m[j * k + l];
            rise += d[i * k + j] * sigma[i * k + j];
        }
    for (int a = 0; a < count; a++)
        moved[a] = 2.0 * sigma[model.directions[a].i * k + model.directions[a].j];
    for (int a = 0; a < count; a++)
        for (int b = 0; b < count; b++)
            rise += 0.5 * moved[a] * moved[b] * point.derivatives.hessian[a * whole + b];
    return rise;
}

// Descend again from each term at zero where zero is a local solution; keep the lower.
template <class Criterion>
int compare_with_zero(const Criterion& f, Descent& best, const Rules& rules) {
    const Model& model = f.model();
    const int k = model.size;
    int count = 0;
    for (const Term& term : model.terms) {
        const double reach = reach_of_zero(model, best.point, term);
        if (!(1e-6 < reach && reach < rules.far)) continue;
        std::vector<double> m = best.point.m;
        for (int i = term.start; i < term.stop; i++)
            for (int j = term.start; j < term.stop; j++) m[i * k + j] = 0.0;
        Point trial = evaluated(f, std::move(m));
        count++;
        if (trial.value.status != Status::fine) continue;
        f.differentiate(trial.m.data(), trial.value, trial.derivatives);
        trial.differentiated = true;
        if (lowest_of_block(model, trial.derivatives.d, term) < 0.0) continue;
        Descent other = minimise(f, std::move(trial), rules);
        count += other.evaluations;
        if (other.point.value.value < best.point.value.value) best = std::move(other);
    }
    return count;
}

// Put eigenvalues of Sigma that are zero but for rounding exactly at zero, if it costs nothing.
template <class Criterion>
Point snapped(const Criterion& f, Point point, double singular) {
    const Model& model = f.model();
    const int k = model.size;
    std::vector<double> sigma(k * k);
    for (int i = 0; i < k; i++)
        for (int j = 0; j < k; j++) {
            double sum = 0.0;
            for (int l = 0; l < k; l++) sum += point.m[i * k + l] * point.m[j * k + l];
            sigma[i * k + j] = sum;
        }
    bool changed = false;
    with_eigenvalues(model, sigma.data(), [&changed, singular](double value, double largest) {
        const bool small = value < singular * std::max(1.0, largest);
        changed |= small && value != 0.0;
        return small ? 0.0 : value;
    });
    if (!changed) return point;
    Point trial = evaluated(f, factor_of(model, sigma.data(), point.m.data() + k * k));
    return trial.value.value <= point.value.value + 1e-8 ? trial : point;
}

// The whole fit; `start` is a point (M and what stands behind it) of an earlier optimum, or null for
// the moment start with the weights of Sigma = rules.prior I.
template <class Criterion>
Fitted fit(const Criterion& f, const double* start, const Rules& rules) {
    const Model& model_of = f.model();
    const bool by_moments = !start && !model_of.terms.empty();
    Status status = Status::fine;
    std::vector<double> m(model_of.size * model_of.size, 0.0);
    if (start)
        m.assign(start, start + model_of.length());
    else if (by_moments)
        m = moment_start(f, rules, status);
    else
        m.insert(m.end(), model_of.residual.begin(), model_of.residual.end());
    Fitted out{Point{}, false, NAN, NAN, 0, status};
    if (status != Status::fine) return out;
    Point first = evaluated(f, std::move(m));
    out.status = first.value.status;
    if (out.status != Status::fine) return out;
    Descent best = minimise(f, std::move(first), rules);
    out.status = best.point.value.status;
    if (out.status != Status::fine) return out;
    out.evaluations = 1 + best.evaluations + (by_moments ? 1 : 0);
    out.evaluations += compare_with_zero(f, best, rules);
    out.converged = best.converged;
    out.decrease = best.decrease;
    out.at = snapped(f, std::move(best.point), rules.singular);
    const Quadratic model(f, out.at, rules.small);
    out.curvature = model.curvatures.front() / std::max(model.scale(), 1e-300);
    return out;
}

}  // namespace henderson
