// BLAS and LAPACK, borrowed from scipy when the module is loaded. Matrices are symmetric or
// triangular here, row by row in memory with the lower triangle filled: for Fortran the upper one.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <vector>

namespace henderson {

struct Lapack {
    using Potrf = void (*)(char*, int*, double*, int*, int*);
    using Potrs = void (*)(char*, int*, int*, double*, int*, double*, int*, int*);
    using Trtrs = void (*)(char*, char*, char*, int*, int*, double*, int*, double*, int*, int*);
    using Symm = void (*)(char*, char*, int*, int*, double*, double*, int*, double*, int*, double*,
                          double*, int*);
    using Gemm = void (*)(char*, char*, int*, int*, int*, double*, double*, int*, double*, int*,
                          double*, double*, int*);
    Potrf potrf = nullptr, potri = nullptr;
    Potrs potrs = nullptr;
    Trtrs trtrs = nullptr;
    Symm symm = nullptr;
    Gemm gemm = nullptr;
};

inline Lapack& lapack() {
    static Lapack functions;
    return functions;
}

// The Cholesky factor of a (m, m) in place, in the lower triangle; false if it is not positive
// definite.
inline bool factor_in_place(double* a, int m) {
    char uplo = 'U';
    int info = 0;
    if (m) lapack().potrf(&uplo, &m, a, &m, &info);
    return info == 0;
}

// The inverse in place, lower triangle, from the factor.
inline void invert_in_place(double* factor, int m) {
    char uplo = 'U';
    int info = 0;
    if (m) lapack().potri(&uplo, &m, factor, &m, &info);
}

// Rows b_c (count, m), each replaced by A^-1 b_c.
inline void solve_rows(const double* factor, int m, double* b, int count) {
    char uplo = 'U';
    int info = 0;
    if (m && count) lapack().potrs(&uplo, &m, &count, const_cast<double*>(factor), &m, b, &m, &info);
}

// Rows b_c (count, m), each replaced by L^-1 b_c.
inline void half_solve_rows(const double* factor, int m, double* b, int count) {
    char uplo = 'U', trans = 'T', diag = 'N';
    int info = 0;
    if (m && count)
        lapack().trtrs(&uplo, &trans, &diag, &m, &count, const_cast<double*>(factor), &m, b, &m,
                       &info);
}

// to (count, m) = rows b_c A for a symmetric A in its lower triangle.
inline void symmetric_rows(const double* a, int m, const double* b, int count, double* to) {
    char side = 'L', uplo = 'U';
    double one = 1.0, zero = 0.0;
    if (m && count)
        lapack().symm(&side, &uplo, &m, &count, &one, const_cast<double*>(a), &m,
                      const_cast<double*>(b), &m, &zero, to, &m);
}

// to (r, c) = a (r, k) b (k, c), or a b' for b (c, k).
inline void product(const double* a, const double* b, int r, int k, int c, double* to,
                    bool b_transposed = false) {
    char plain = 'N', trans = 'T';
    double one = 1.0, zero = 0.0;
    int ldb = b_transposed ? k : c;
    if (!r || !c) return;
    if (!k) {
        for (std::size_t i = 0; i < static_cast<std::size_t>(r) * c; i++) to[i] = 0.0;
        return;
    }
    lapack().gemm(b_transposed ? &trans : &plain, &plain, &c, &r, &k, &one, const_cast<double*>(b),
                  &ldb, const_cast<double*>(a), &k, &zero, to, &c);
}

}  // namespace henderson
