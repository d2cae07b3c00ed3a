// Satterthwaite's degrees of freedom at a fitted optimum, for contrasts of the fixed effects.
//
// var = s2 l'Cl depends on (M, log s2); with A twice the inverse of the criterion's Hessian in
// them, df = 2 var^2 / (g'Ag), g the gradient of var (Giesbrecht & Burns 1985; Fai & Cornelius
// 1996). On the boundary the Hessian is taken along the face: M keeps its rank.
#pragma once

#include <vector>

#include "trust_region.hpp"

namespace henderson {

// The directions of `basis` that move Sigma to first order.
inline std::vector<double> along_face(const Model& model, const std::vector<double>& m,
                                      const std::vector<double>& basis) {
    const int k = model.size, square = k * k;
    double length = 0.0;
    for (double x : m) length = std::max(length, std::fabs(x));
    std::vector<double> out, move(square);
    for (std::size_t b = 0; b < basis.size(); b += square) {
        double most = 0.0;
        for (int i = 0; i < k; i++)
            for (int j = 0; j < k; j++) {
                double sum = 0.0;
                for (int l = 0; l < k; l++)
                    sum +=
                        basis[b + i * k + l] * m[j * k + l] + m[i * k + l] * basis[b + j * k + l];
                most = std::max(most, std::fabs(sum));
            }
        if (most > 1e-7 * length)
            out.insert(out.end(), basis.begin() + b, basis.begin() + b + square);
    }
    return out;
}

// contrasts (count, p) in standard coordinates; point.derivatives must have `outer`. NaN where the
// Hessian is not positive definite.
inline void satterthwaite(const Model& model, const Point& point, double small,
                          const double* contrasts, int count, double* df) {
    const int p = model.p, size = model.count();
    const Derivatives& s = point.derivatives;
    const std::vector<double> basis = along_face(model, point.m, tangent(model, point.m, small));
    Reduced at = reduced(model, point.m, s, basis);
    const int rank = at.rank;
    const double s2 = point.value.s2, nu = model.nu();
    std::vector<double> lower(rank * rank), q(rank, 0.0), g(rank), w(p), forms(size);
    for (int i = 0; i < count; i++) df[i] = NAN;
    if (!cholesky(at.hessian.data(), rank, lower.data())) return;
    for (int b = 0; b < rank; b++)
        for (int a = 0; a < size; a++) {
            const Direction x = model.directions[a];
            q[b] += at.moved[b * size + a] * (x.i == x.j ? 1.0 : 2.0) *
                    s.quadratic[packed(x.i, x.j)] / s2;
        }
    for (int row = 0; row < count; row++) {
        double square = 0.0;  // l'Cl = w'w
        for (int c = 0; c < p; c++) {
            w[c] = 0.0;
            for (int i = 0; i <= c; i++)
                w[c] += point.value.r_inverse[i * p + c] * contrasts[row * p + i];
            square += w[c] * w[c];
        }
        for (int a = 0; a < size; a++) {
            const Direction x = model.directions[a];
            const double* n =
                s.outer.data() + static_cast<std::size_t>(packed(x.i, x.j)) * triangle(p);
            forms[a] = 0.0;
            for (int i = 0, t = 0; i < p; i++)
                for (int j = 0; j <= i; j++, t++)
                    forms[a] += (i == j ? 1.0 : 2.0) * n[t] * w[i] * w[j];
        }
        double spread = square * square / nu;  // g'Ag / 2 s2^2, log s2 eliminated
        for (int b = 0; b < rank; b++) {
            g[b] = -q[b] * square / nu;
            for (int a = 0; a < size; a++) g[b] += at.moved[b * size + a] * forms[a];
            for (int l = 0; l < b; l++) g[b] -= lower[b * rank + l] * g[l];
            g[b] /= lower[b * rank + b];
            spread += g[b] * g[b];
        }
        df[row] = square * square / spread;
    }
}

}  // namespace henderson
