// The trust-region Newton method on M, Sigma = M M' term by term, in the directions that change
// Sigma. The twin of trust_region.py; the names and the rules are the same.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "one_factor.hpp"

namespace henderson {

constexpr int LIMIT = 300;  // steps
constexpr int BOLD_STEPS = 6;  // after which none may be bold: they lead to the right region soon
constexpr double NEAR = 1e-5;  // a promised decrease below which derivatives serve the next point
// How much less than in the last step a promise may shrink in the next: with an approximate Hessian
// some directions converge more slowly than others.
constexpr double CAUTION = 100.0;
constexpr double EPSILON = std::numeric_limits<double>::epsilon();

// An evaluated M (K, K), block-diagonal over the terms, and behind it the parameters of the
// residuals, if they have a structure; derivatives are made when asked for, and may be those of a
// point so near that they serve.
struct Point {
    std::vector<double> m;
    Value value;
    Derivatives derivatives;
    bool differentiated = false;
};

// The numbers that the Python twins call by the same names: they hand them over.
struct Rules {
    double tolerance;  // what a Newton step may still promise at the optimum
    double singular;   // eigenvalues of Sigma below this part of max(1, largest) are zero
    double prior;      // the moment start's prior is prior I
    double floor;      // its residual variance is at least this part of the mean square
    double edge;       // its eigenvalues are at least this part of the largest
    double far;        // zero is not tried for a term that is this far from it
    double small;      // the relative variance that counts as small in the metric of steps
    double radius;     // of the first trust region
};

// Directions Delta (K, K each) of M that move Sigma, orthonormal in the metric (Sigma + small
// I)^-1, and those of the parameters behind M.
//
// With the singular values s of M = U S V' and r = sqrt(s^2 + small), t = s / r, the directions
// U diag(r) B V' with B orthonormal are horizontal if diag(t) B is symmetric. So each pair (i, j)
// has one, (t_j, t_i) in (b_ij, b_ji), or two where both singular values vanish.
inline std::vector<double> tangent(const Model& model, const std::vector<double>& m, double small) {
    const int k = model.size, length = model.length();
    std::vector<double> out;
    double part[MAX_SIZE * MAX_SIZE], u[MAX_SIZE * MAX_SIZE], v[MAX_SIZE * MAX_SIZE];
    double r[MAX_SIZE], t[MAX_SIZE];
    for (const Term& term : model.terms) {
        const int from = term.start, size = term.stop - term.start;
        if (term.diagonal || size == 1) {
            for (int i = from; i < term.stop; i++) {
                out.resize(out.size() + length, 0.0);
                double* entry = out.data() + out.size() - length + i * k + i;
                *entry = std::sqrt(m[i * k + i] * m[i * k + i] + small);
            }
            continue;
        }
        auto add = [&](int i, int j, double x, int a, int b, double y) {
            out.resize(out.size() + length, 0.0);
            double* delta = out.data() + out.size() - length + from * k + from;
            for (int row = 0; row < size; row++)
                for (int c = 0; c < size; c++)
                    delta[row * k + c] = x * r[i] * u[row * size + i] * v[c * size + j] +
                                         y * r[a] * u[row * size + a] * v[c * size + b];
        };
        for (int row = 0; row < size; row++)
            for (int c = 0; c < size; c++) part[row * size + c] = m[(from + row) * k + from + c];
        singular_values(part, size, u, t, v);
        for (int i = 0; i < size; i++) {
            r[i] = std::sqrt(t[i] * t[i] + small);
            t[i] /= r[i];
        }
        double longest = 0.0;
        for (int i = 1; i < size; i++)
            for (int j = 0; j < i; j++) longest = std::max(longest, std::hypot(t[i], t[j]));
        for (int i = 0; i < size; i++) add(i, i, 1.0, i, i, 0.0);
        for (int i = 1; i < size; i++)
            for (int j = 0; j < i; j++) {
                const double length = std::hypot(t[i], t[j]);
                if (length > 1e-8 * std::max(longest, 1e-12)) {
                    add(i, j, t[j] / length, j, i, t[i] / length);
                } else {
                    add(i, j, 1.0, i, j, 0.0);
                    add(j, i, 1.0, j, i, 0.0);
                }
            }
    }
    for (int e = k * k; e < length; e++) {
        out.resize(out.size() + length, 0.0);
        out[out.size() - length + e] = 1.0;
    }
    return out;
}

// Gradient and Hessian of the criterion in coordinates t of M + sum t_b Delta_b.
struct Reduced {
    int rank;
    std::vector<double> slopes, hessian;
    // (rank, directions and further parameters): the entries of Delta M' + M Delta'
    std::vector<double> moved;
};

inline Reduced reduced(const Model& model, const std::vector<double>& m,
                       const Derivatives& derivatives, const std::vector<double>& basis) {
    const int k = model.size, extra = model.extra(), length = model.length();
    const int own = model.count(), count = own + extra;
    const int rank = static_cast<int>(basis.size()) / length;
    Reduced out{rank, std::vector<double>(rank, 0.0), std::vector<double>(rank * rank),
                std::vector<double>(rank * count)};
    std::vector<double> d_delta(rank * k * k), half(rank * count);
    for (int b = 0; b < rank; b++) {
        const double* delta = basis.data() + b * length;
        double* d_own = d_delta.data() + b * k * k;
        for (int a = 0; a < own; a++) {
            const int i = model.directions[a].i, j = model.directions[a].j;
            double sum = 0.0;
            for (int l = 0; l < k; l++)
                sum += delta[i * k + l] * m[j * k + l] + m[i * k + l] * delta[j * k + l];
            out.moved[b * count + a] = sum;
        }
        multiply(derivatives.d.data(), delta, k, k, k, d_own);
        for (int i = 0; i < k * k; i++) out.slopes[b] += 2.0 * d_own[i] * m[i];
        for (int e = 0; e < extra; e++) {
            out.moved[b * count + own + e] = delta[k * k + e];
            out.slopes[b] += derivatives.extra[e] * delta[k * k + e];
        }
    }
    multiply(out.moved.data(), derivatives.hessian.data(), rank, count, count, half.data());
    for (int a = 0; a < rank; a++)
        for (int b = 0; b <= a; b++) {
            double sum = 0.0;
            for (int i = 0; i < count; i++) sum += half[a * count + i] * out.moved[b * count + i];
            for (int i = 0; i < k * k; i++)
                sum += 2.0 * d_delta[a * k * k + i] * basis[b * length + i];
            out.hessian[a * rank + b] = out.hessian[b * rank + a] = sum;
        }
    return out;
}

// A step: where it leads, its length in the tangent's metric, and the change it promises. A bold one
// may be longer than the radius; such are taken early, until one fails.
struct Move {
    std::vector<double> m;
    double length, predicted;
    bool bold = false;
};

// The quadratic model at a point, in the eigenbasis of the reduced Hessian.
class Quadratic {
  public:
    template <class Criterion>
    Quadratic(const Criterion& f, Point& point, double small) {
        if (!point.differentiated) {
            f.differentiate(point.m.data(), point.value, point.derivatives);
            point.differentiated = true;
        }
        const int square = f.model().length();
        const std::vector<double> basis = tangent(f.model(), point.m, small);
        Reduced at = reduced(f.model(), point.m, point.derivatives, basis);
        rank_ = at.rank;
        std::vector<double> vectors(rank_ * rank_);
        curvatures.resize(rank_);
        slopes.assign(rank_, 0.0);
        eigen(at.hessian.data(), rank_, curvatures.data(), vectors.data());
        basis_.assign(basis.size(), 0.0);
        for (int e = 0; e < rank_; e++)
            for (int b = 0; b < rank_; b++) {
                const double x = vectors[b * rank_ + e];
                slopes[e] += x * at.slopes[b];
                for (int i = 0; i < square; i++)
                    basis_[e * square + i] += x * basis[b * square + i];
            }
    }

    std::vector<double> curvatures, slopes;

    double scale() const {
        double most = 0.0;
        for (double c : curvatures) most = std::max(most, std::fabs(c));
        return most > 0.0 ? most : 1.0;
    }

    // What a full Newton step promises, curvatures taken by their size.
    double decrease() const {
        const double least = 1e-10 * scale();
        double sum = 0.0;
        for (int i = 0; i < rank_; i++)
            sum += 0.5 * slopes[i] * slopes[i] / std::max(std::fabs(curvatures[i]), least);
        return sum;
    }

    double lowest() const { return std::min(curvatures[0], 0.0); }
    bool convex() const { return lowest() > -1e-7 * scale(); }

    double predicted(const std::vector<double>& step) const {
        double sum = 0.0;
        for (int i = 0; i < rank_; i++)
            sum += slopes[i] * step[i] + 0.5 * curvatures[i] * step[i] * step[i];
        return sum;
    }

    // The minimiser of the model within `radius`, in the eigenbasis.
    std::vector<double> step(double radius) const {
        const double floor = 1e-8 * scale();
        const double shift = floor - lowest();
        std::vector<double> out = shifted(shift);
        const double length = norm(out);
        if (length > radius) return on_sphere(radius, shift);
        if (lowest() < -1e-7 * scale()) {
            const double room = std::sqrt(std::max(0.0, radius * radius - length * length));
            out[0] += out[0] >= 0.0 ? room : -room;
        }
        return out;
    }

    // The trust region's step from m.
    Move move(const std::vector<double>& m, double radius) const {
        const std::vector<double> by = step(radius);
        return {moved(m, by), norm(by), predicted(by), false};
    }

    // The length of what of to - from the tangent holds: least squares.
    double length_of(const std::vector<double>& from, const std::vector<double>& to) const {
        const std::size_t size = from.size();
        std::vector<double> gram(rank_ * rank_), root(rank_ * rank_), x(rank_, 0.0);
        for (int a = 0; a < rank_; a++) {
            for (std::size_t i = 0; i < size; i++)
                x[a] += basis_[a * size + i] * (to[i] - from[i]);
            for (int b = 0; b < rank_; b++) {
                gram[a * rank_ + b] = 0.0;
                for (std::size_t i = 0; i < size; i++)
                    gram[a * rank_ + b] += basis_[a * size + i] * basis_[b * size + i];
            }
        }
        if (!cholesky(gram.data(), rank_, root.data())) return INFINITY;
        for (int a = 0; a < rank_; a++) {
            for (int b = 0; b < a; b++) x[a] -= root[a * rank_ + b] * x[b];
            x[a] /= root[a * rank_ + a];
        }
        for (int a = rank_ - 1; a >= 0; a--) {
            for (int b = a + 1; b < rank_; b++) x[a] -= root[b * rank_ + a] * x[b];
            x[a] /= root[a * rank_ + a];
        }
        return norm(x);
    }

    // m moved by a step.
    std::vector<double> moved(const std::vector<double>& m, const std::vector<double>& step) const {
        std::vector<double> out = m;
        for (int e = 0; e < rank_; e++)
            for (std::size_t i = 0; i < m.size(); i++) out[i] += step[e] * basis_[e * m.size() + i];
        return out;
    }

    static double norm(const std::vector<double>& a) {
        double sum = 0.0;
        for (double x : a) sum += x * x;
        return std::sqrt(sum);
    }

  private:
    std::vector<double> shifted(double shift) const {
        std::vector<double> out(rank_);
        for (int i = 0; i < rank_; i++) out[i] = -slopes[i] / (curvatures[i] + shift);
        return out;
    }

    std::vector<double> on_sphere(double radius, double low) const {
        double high = low + norm(slopes) / radius + 1e-12;
        for (int i = 0; i < 60; i++) {
            const double middle = 0.5 * (low + high);
            (norm(shifted(middle)) > radius ? low : high) = middle;
        }
        return shifted(high);
    }

    std::vector<double> basis_;
    int rank_;
};

// Where a descent ended: the best point, evaluations used, and whether it is a minimum.
struct Descent {
    Point point;
    int evaluations;
    bool converged;
    double decrease;
};

template <class Criterion>
Point evaluated(const Criterion& f, std::vector<double> m) {
    Point point;
    point.m = std::move(m);
    f.evaluate(point.m.data(), point.value);
    return point;
}

// Descend until a full Newton step promises less than the tolerance, or than the criterion's
// rounding. Where the promise has shrunk so much with the last step that it would be so little after
// the next, that step is taken without derivatives at its end: the point keeps those of the one
// before. Where the criterion is not defined it counts as infinite: the step is shortened.
// choose(point, its model, the plain step, radius, bold) gives the step to take, which may be bold.
template <class Criterion, class Choose>
Descent descend(const Criterion& f, Point point, const Rules& rules, int limit,
                const Choose& choose) {
    double radius = rules.radius, shrinkage = 1.0;
    int count = 0;
    bool bold = true;
    Quadratic model(f, point, rules.small);
    while (count < limit) {
        const double decrease = model.decrease();
        const double least = std::max(rules.tolerance, EPSILON * std::fabs(point.value.value));
        if (decrease < least && model.convex()) return {point, count, true, decrease};
        Move move = choose(point, model, model.move(point.m, radius), radius, bold);
        const double length = move.length, predicted = move.predicted;
        Point trial = evaluated(f, std::move(move.m));
        count++;
        const double change =
            trial.value.status == Status::fine ? trial.value.value - point.value.value : INFINITY;
        const double noise = 1e-13 * (1.0 + std::fabs(point.value.value));
        const double left = CAUTION * decrease * shrinkage;
        if (left < least && decrease < NEAR && model.convex() && change <= noise) {
            trial.derivatives = std::move(point.derivatives);
            trial.differentiated = true;
            return {std::move(trial), count, true, left};
        }
        const double ratio = predicted < 0.0 ? change / predicted : -1.0;
        if (ratio > 1e-4 || std::fabs(change) <= noise) {
            Quadratic next(f, trial, rules.small);
            if (std::fabs(predicted) <= noise && next.decrease() >= decrease)
                return {point, count, model.convex(), decrease};
            point = std::move(trial);
            model = std::move(next);
            bold = bold && count < BOLD_STEPS;
            shrinkage = ratio > 0.75 && length < radius ? model.decrease() / decrease : 1.0;
            if (ratio > 0.75)
                radius = std::max(radius, 2.5 * length);
            else if (ratio < 0.25)
                radius = 0.35 * length;
        } else if (move.bold) {
            bold = false;
        } else {
            shrinkage = 1.0;
            radius = 0.25 * std::min(radius, length);
            if (radius < 1e-12) break;
        }
    }
    return {point, count, false, model.decrease()};
}

}  // namespace henderson
