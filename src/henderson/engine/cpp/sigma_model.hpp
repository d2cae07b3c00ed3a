// Steps of a descent by a model that is quadratic in Sigma instead of in its factor M. The twin of
// sigma_model.py, which says when and why.
#pragma once

#include <cmath>
#include <vector>

#include "trust_region.hpp"

namespace henderson {

constexpr double FAR = 1.0;     // a promised decrease beyond which a point is far from the optimum
constexpr double ALIKE = 0.1;   // relative difference of two promises that makes none
constexpr double LEAST_RATIO = 0.02, MOST_RATIO = 1e4;  // what scoring may make of Sigma
constexpr int MODEL_STEPS = 20;
constexpr double MODEL_TOLERANCE = 1e-14;

// The change of the criterion from a point's Sigma: <D, delta> + delta'B delta / 2.
class SigmaModel {
  public:
    // curvature: B (directions, directions).
    SigmaModel(const Model& model, const Point& at, std::vector<double> curvature)
        : model_(model),
          d_(at.derivatives.d),
          curvature_(std::move(curvature)),
          origin_(entries(at.m.data())) {}

    const Model& model() const { return model_; }

    void evaluate(const double* m, Value& out) const {
        std::vector<double> delta;
        const std::vector<double> moved = moved_slopes(m, delta);
        out.status = Status::fine;
        out.value = 0.0;
        for (int a = 0; a < model_.count(); a++) {
            const Direction x = model_.directions[a];
            const double slope = d_[x.i * model_.size + x.j] * (x.i == x.j ? 1.0 : 2.0);
            out.value += delta[a] * (slope + 0.5 * moved[a]);
        }
    }

    void differentiate(const double* m, const Value&, Derivatives& out) const {
        std::vector<double> delta;
        const std::vector<double> moved = moved_slopes(m, delta);
        out.d = d_;
        out.hessian = curvature_;
        for (int a = 0; a < model_.count(); a++) {
            const Direction x = model_.directions[a];
            out.d[x.i * model_.size + x.j] += 0.5 * moved[a];
            out.d[x.j * model_.size + x.i] += 0.5 * moved[a];
        }
    }

  private:
    // The entries of M M' along the model's directions.
    std::vector<double> entries(const double* m) const {
        const int k = model_.size;
        std::vector<double> out(model_.count(), 0.0);
        for (int a = 0; a < model_.count(); a++) {
            const Direction x = model_.directions[a];
            for (int l = 0; l < k; l++) out[a] += m[x.i * k + l] * m[x.j * k + l];
        }
        return out;
    }

    // B delta, and delta.
    std::vector<double> moved_slopes(const double* m, std::vector<double>& delta) const {
        const int count = model_.count();
        delta = entries(m);
        for (int a = 0; a < count; a++) delta[a] -= origin_[a];
        std::vector<double> out(count);
        multiply(curvature_.data(), delta.data(), count, count, 1, out.data());
        return out;
    }

    const Model& model_;
    std::vector<double> d_, curvature_, origin_;
};

// To where the model is lowest.
inline Move minimised(const SigmaModel& near, const Point& point, const Quadratic& model,
                      Rules rules) {
    rules.tolerance = MODEL_TOLERANCE;
    Descent found =
        descend(near, evaluated(near, point.m), rules, MODEL_STEPS,
                [](const Point&, const Quadratic&, Move plain, double, bool) { return plain; });
    const double length = model.length_of(point.m, found.point.m);
    return {std::move(found.point.m), length, found.point.value.value, false};
}

// Whether no direction of a factor's Sigma is shrunk or stretched out of all proportion.
inline bool in_proportion(const Model& model, const std::vector<double>& before,
                          const std::vector<double>& after, double small) {
    double a[MAX_SIZE * MAX_SIZE], b[MAX_SIZE * MAX_SIZE], root[MAX_SIZE * MAX_SIZE];
    double upper[MAX_SIZE * MAX_SIZE], half[MAX_SIZE * MAX_SIZE], vectors[MAX_SIZE * MAX_SIZE];
    double values[MAX_SIZE];
    for (std::size_t t = 0; t + 1 < model.ends.size(); t++) {
        const int from = model.ends[t], k = model.ends[t + 1] - from;
        for (int i = 0; i < k; i++)
            for (int j = 0; j < k; j++) {
                a[i * k + j] = b[i * k + j] = i == j ? small : 0.0;
                for (int l = 0; l < model.size; l++) {
                    const int r = (from + i) * model.size + l, c = (from + j) * model.size + l;
                    a[i * k + j] += before[r] * before[c];
                    b[i * k + j] += after[r] * after[c];
                }
            }
        if (!cholesky(a, k, root)) return false;
        inverse_transposed(root, k, upper);
        multiply(b, upper, k, k, k, half);
        for (int i = 0; i < k; i++)
            for (int j = 0; j < k; j++) {
                a[i * k + j] = 0.0;
                for (int l = 0; l < k; l++) a[i * k + j] += upper[l * k + i] * half[l * k + j];
            }
        eigen(a, k, values, vectors);
        if (!(values[0] > LEAST_RATIO && values[k - 1] < MOST_RATIO)) return false;
    }
    return true;
}

// The expected information along the directions, sigma^2 profiled out, at the point that was
// evaluated last.
template <class Criterion>
std::vector<double> expected(const Criterion& f, const Point& point) {
    const int count = f.model().count();
    const double nu = static_cast<double>(f.model().n - f.model().p);
    Moments sums;
    f.moments(point.m.data(), point.value, sums);
    for (int a = 0; a < count; a++)
        for (int b = 0; b < count; b++)
            sums.pairs[a * count + b] -= sums.singles[a] * sums.singles[b] / nu;
    return std::move(sums.pairs);
}

// Fisher's scoring, unless it changes Sigma out of all proportion.
template <class Criterion>
Move scored(const Criterion& f, const Point& point, const Quadratic& model, Move plain,
            const Rules& rules) {
    const SigmaModel near(f.model(), point, expected(f, point));
    Move move = minimised(near, point, model, rules);
    move.bold = move.predicted < 0.0 && in_proportion(f.model(), point.m, move.m, rules.small);
    return move.bold ? move : plain;
}

// The step of a model quadratic in Sigma where it is the better one, else the plain step.
template <class Criterion>
Move better_move(const Criterion& f, const Point& point, const Quadratic& model, Move plain,
                 double radius, bool bold, const Rules& rules) {
    if (model.decrease() > FAR || !model.convex())
        return bold ? scored(f, point, model, std::move(plain), rules) : plain;
    const SigmaModel near(f.model(), point, point.derivatives.hessian);
    Value promised;
    near.evaluate(plain.m.data(), promised);
    if (std::fabs(promised.value - plain.predicted) <= ALIKE * std::fabs(plain.predicted))
        return plain;
    Move move = minimised(near, point, model, rules);
    return move.predicted < 0.0 && move.length <= radius ? move : plain;
}

// Descend to a minimum, by the better of both models where the Hessian is exact and Sigma is all.
template <class Criterion>
Descent minimise(const Criterion& f, Point point, const Rules& rules) {
    const bool in_sigma = f.exact() && !f.model().extra();
    return descend(f, std::move(point), rules, LIMIT,
                   [&](const Point& at, const Quadratic& model, Move plain, double radius,
                       bool bold) {
                       if (!in_sigma) return plain;
                       return better_move(f, at, model, std::move(plain), radius, bold, rules);
                   });
}

}  // namespace henderson
