// Dense algebra on matrices of a few rows, row by row in memory.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

namespace henderson {

// Lower Cholesky factor of the symmetric a (n, n) in the lower triangle of `lower`; false if a
// pivot is not above `floor` times its diagonal entry.
inline bool cholesky(const double* a, int n, double* lower, double floor = 0.0) {
    for (int j = 0; j < n; j++) {
        double pivot = a[j * n + j];
        for (int l = 0; l < j; l++) pivot -= lower[j * n + l] * lower[j * n + l];
        if (!(pivot > floor * a[j * n + j]) || !(pivot > 0.0)) return false;
        lower[j * n + j] = std::sqrt(pivot);
        for (int i = j + 1; i < n; i++) {
            double sum = a[i * n + j];
            for (int l = 0; l < j; l++) sum -= lower[i * n + l] * lower[j * n + l];
            lower[i * n + j] = sum / lower[j * n + j];
            lower[j * n + i] = 0.0;
        }
    }
    return true;
}

// The inverse of a lower triangular matrix, transposed: upper triangular.
inline void inverse_transposed(const double* lower, int n, double* upper) {
    for (int c = 0; c < n; c++)
        for (int i = 0; i < n; i++) {
            if (i < c) {
                upper[c * n + i] = 0.0;
                continue;
            }
            double sum = i == c ? 1.0 : 0.0;
            for (int l = c; l < i; l++) sum -= lower[i * n + l] * upper[c * n + l];
            upper[c * n + i] = sum / lower[i * n + i];
        }
}

// to (n, m) = a (n, k) b (k, m).
inline void multiply(const double* a, const double* b, int n, int k, int m, double* to) {
    for (int i = 0; i < n; i++)
        for (int j = 0; j < m; j++) {
            double sum = 0.0;
            for (int l = 0; l < k; l++) sum += a[i * k + l] * b[l * m + j];
            to[i * m + j] = sum;
        }
}

// Eigenvalues, ascending, and eigenvectors (the columns of `vectors`) of the symmetric a (n, n),
// which is overwritten. Cyclic Jacobi: accurate for small eigenvalues, fast for few rows.
inline void eigen(double* a, int n, double* values, double* vectors) {
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) vectors[i * n + j] = i == j ? 1.0 : 0.0;
    for (int sweep = 0; sweep < 60; sweep++) {
        double off = 0.0, whole = 0.0;
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++) {
                whole += a[i * n + j] * a[i * n + j];
                if (i != j) off += a[i * n + j] * a[i * n + j];
            }
        if (!(off > 1e-32 * whole)) break;
        for (int i = 1; i < n; i++)
            for (int j = 0; j < i; j++) {
                const double x = a[i * n + j];
                if (x == 0.0) continue;
                const double angle = (a[i * n + i] - a[j * n + j]) / (2.0 * x);
                const double t = (angle >= 0.0 ? 1.0 : -1.0) /
                                 (std::fabs(angle) + std::sqrt(1.0 + angle * angle));
                const double c = 1.0 / std::sqrt(1.0 + t * t), s = t * c;
                for (int l = 0; l < n; l++) {  // columns j and i
                    const double u = a[l * n + j], v = a[l * n + i];
                    a[l * n + j] = c * u - s * v;
                    a[l * n + i] = s * u + c * v;
                }
                for (int l = 0; l < n; l++) {  // rows
                    const double u = a[j * n + l], v = a[i * n + l];
                    a[j * n + l] = c * u - s * v;
                    a[i * n + l] = s * u + c * v;
                }
                a[i * n + j] = a[j * n + i] = 0.0;
                for (int l = 0; l < n; l++) {
                    const double u = vectors[l * n + j], v = vectors[l * n + i];
                    vectors[l * n + j] = c * u - s * v;
                    vectors[l * n + i] = s * u + c * v;
                }
            }
    }
    for (int i = 0; i < n; i++) values[i] = a[i * n + i];
    for (int i = 0; i < n; i++) {
        int least = i;
        for (int j = i + 1; j < n; j++)
            if (values[j] < values[least]) least = j;
        if (least == i) continue;
        std::swap(values[i], values[least]);
        for (int l = 0; l < n; l++) std::swap(vectors[l * n + i], vectors[l * n + least]);
    }
}

// m (n, n) = u diag(s) v' by one-sided Jacobi rotations; u has orthonormal columns also where
// s is zero.
inline void singular_values(const double* m, int n, double* u, double* s, double* v) {
    std::copy(m, m + n * n, u);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) v[i * n + j] = i == j ? 1.0 : 0.0;
    for (int sweep = 0; sweep < 60; sweep++) {
        bool turned = false;
        for (int i = 1; i < n; i++)
            for (int j = 0; j < i; j++) {
                double aa = 0.0, bb = 0.0, ab = 0.0;
                for (int l = 0; l < n; l++) {
                    aa += u[l * n + j] * u[l * n + j];
                    bb += u[l * n + i] * u[l * n + i];
                    ab += u[l * n + i] * u[l * n + j];
                }
                if (!(std::fabs(ab) > 1e-15 * std::sqrt(aa * bb))) continue;
                turned = true;
                const double angle = (bb - aa) / (2.0 * ab);
                const double t = (angle >= 0.0 ? 1.0 : -1.0) /
                                 (std::fabs(angle) + std::sqrt(1.0 + angle * angle));
                const double c = 1.0 / std::sqrt(1.0 + t * t), d = t * c;
                for (int l = 0; l < n; l++) {
                    const double x = u[l * n + j], y = u[l * n + i];
                    u[l * n + j] = c * x - d * y;
                    u[l * n + i] = d * x + c * y;
                    const double z = v[l * n + j], w = v[l * n + i];
                    v[l * n + j] = c * z - d * w;
                    v[l * n + i] = d * z + c * w;
                }
            }
        if (!turned) break;
    }
    double most = 0.0;
    for (int i = 0; i < n; i++) {
        double sum = 0.0;
        for (int l = 0; l < n; l++) sum += u[l * n + i] * u[l * n + i];
        s[i] = std::sqrt(sum);
        most = std::max(most, s[i]);
    }
    for (int i = 0; i < n; i++) {
        if (s[i] > 1e-14 * most && s[i] > 0.0) {
            for (int l = 0; l < n; l++) u[l * n + i] /= s[i];
            continue;
        }
        s[i] = 0.0;
        for (int l = 0; l < n; l++) u[l * n + i] = 0.0;
    }
    for (int i = 0; i < n; i++) {  // complete u with the unit vectors that stick out most
        if (s[i] > 0.0) continue;
        double best = -1.0;
        int pick = 0;
        for (int e = 0; e < n; e++) {
            double left = 1.0;
            for (int j = 0; j < n; j++) left -= u[e * n + j] * u[e * n + j];
            if (left > best) best = left, pick = e;
        }
        double column[64];
        for (int l = 0; l < n; l++) column[l] = l == pick ? 1.0 : 0.0;
        for (int round = 0; round < 2; round++)
            for (int j = 0; j < n; j++) {
                double part = 0.0;
                for (int l = 0; l < n; l++) part += column[l] * u[l * n + j];
                for (int l = 0; l < n; l++) column[l] -= part * u[l * n + j];
            }
        double length = 0.0;
        for (int l = 0; l < n; l++) length += column[l] * column[l];
        length = std::sqrt(length);
        for (int l = 0; l < n; l++) u[l * n + i] = column[l] / length;
    }
}

}  // namespace henderson
