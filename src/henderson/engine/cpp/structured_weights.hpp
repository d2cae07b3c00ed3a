// The weights c_k(phi) of R^-1 = sum_k c_k B_k and log|R|, with two derivatives: the twin of
// covariance/residual/finite.
#pragma once

#include <cmath>
#include <stdexcept>
#include <vector>

namespace henderson {

enum class Correlated { none = 0, ar1 = 1, car1 = 2, cs = 3 };

// A number and its first two derivatives in the parameter of the correlation.
struct Jet {
    double value, first, second;
    // f of it, from f and its derivatives.
    Jet chain(double f, double f1, double f2) const {
        return {f, f1 * first, f2 * first * first + f1 * second};
    }
};

// counts : of pairs of each gap, or of groups of each size.
// kinds, which : the function of a set's weight, and its gap or size.
// left, right : the strata whose standard deviations divide a set's weight, log sd = loadings phi.
struct Recipe {
    Correlated correlation = Correlated::none;
    double scale = 1.0;  // car1: the unit of distance; cs: the largest group
    std::vector<double> at, counts;
    std::vector<int> kinds, which, left, right;
    int strata = 0, variances = 0;
    std::vector<double> loadings, sizes;  // (strata, variances), (strata,)
    double log_constant = 0.0;

    int sets() const { return static_cast<int>(kinds.size()); }
    int correlations() const { return correlation == Correlated::none ? 0 : 1; }
    int extra() const { return correlations() + variances; }
};

// At one phi (m): c (k), first (m, k), second (m, m, k); log|R| alike.
struct Weights {
    std::vector<double> c, first, second, log_first, log_second;
    double log_r = 0.0;
};

namespace weights {

// The correlation of rows that are `gap` apart, or of two rows of a group.
inline Jet correlation(const Recipe& recipe, double phi, double gap) {
    if (recipe.correlation == Correlated::ar1) {
        const double rho = std::tanh(phi), slope = 1.0 - rho * rho;
        const double by_rho = gap * std::pow(rho, std::max(gap - 1.0, 0.0));
        const double twice = gap * (gap - 1.0) * std::pow(rho, std::max(gap - 2.0, 0.0));
        return {std::pow(rho, gap), slope * by_rho,
                twice * slope * slope - 2.0 * rho * slope * by_rho};
    }
    if (recipe.correlation == Correlated::car1) {
        const double x = gap / (recipe.scale * std::exp(phi)), g = std::exp(-x);
        return {g, x * g, x * (x - 1.0) * g};
    }
    const double low = -1.0 / (recipe.scale - 1.0), width = 1.0 - low;
    const double share = 1.0 / (1.0 + std::exp(std::log(recipe.scale - 1.0) - phi));
    const double slope = width * share * (1.0 - share);
    return {low + width * share, slope, slope * (1.0 - 2.0 * share)};
}

// The weight of a kind of set of a Markov chain.
inline Jet of_chain(int kind, const Jet& r) {
    const double x = r.value, above = 1.0 + x, below = 1.0 - x, left = above * below;
    switch (kind) {
        case 0:  // all rows
            return {1.0, 0.0, 0.0};
        case 1:  // differences of a pair
            return r.chain(x / (2.0 * below), 0.5 / (below * below), 1.0 / (below * below * below));
        case 2:  // sums of a pair
            return r.chain(-x / (2.0 * above), -0.5 / (above * above),
                           1.0 / (above * above * above));
        case 3:  // one of a pair
            return r.chain(x * x / left, 2.0 * x / (left * left),
                           (2.0 + 6.0 * x * x) / (left * left * left));
        default:  // one times the other
            return r.chain(-2.0 * x / left, -2.0 * (1.0 + x * x) / (left * left),
                           -4.0 * x * (3.0 + x * x) / (left * left * left));
    }
}

inline Jet log_of_chain(const Jet& r) {
    const double x = r.value, left = (1.0 + x) * (1.0 - x);
    return r.chain(std::log(left), -2.0 * x / left, -2.0 * (1.0 + x * x) / (left * left));
}

// 1 / x for x = 1 + slope rho.
inline Jet reciprocal(const Jet& rho, double slope) {
    const double x = 1.0 + slope * rho.value;
    return rho.chain(1.0 / x, -slope / (x * x), 2.0 * slope * slope / (x * x * x));
}

inline Jet of_groups(int kind, double size, const Jet& rho) {
    const Jet within = reciprocal(rho, -1.0), mean = reciprocal(rho, size - 1.0);
    if (kind == 0) return within;
    if (kind == 1) return mean;
    return {(mean.value - within.value) / size, (mean.first - within.first) / size,
            (mean.second - within.second) / size};
}

inline Jet log_of_groups(double size, const Jet& rho) {
    const double more = size - 1.0, within = 1.0 - rho.value, mean = 1.0 + more * rho.value;
    return rho.chain(more * std::log(within) + std::log(mean), -more / within + more / mean,
                     -more / (within * within) - more * more / (mean * mean));
}

}  // namespace weights

// False where phi is at the bound of the correlation.
inline bool weigh(const Recipe& recipe, const double* phi, Weights& out) {
    const int k = recipe.sets(), m = recipe.extra(), own = recipe.correlations();
    out.c.assign(k, 1.0);
    out.first.assign(static_cast<std::size_t>(m) * k, 0.0);
    out.second.assign(static_cast<std::size_t>(m) * m * k, 0.0);
    out.log_first.assign(m, 0.0);
    out.log_second.assign(m * m, 0.0);
    out.log_r = recipe.log_constant;
    if (own) {
        const bool groups = recipe.correlation == Correlated::cs;
        std::vector<Jet> jets(recipe.at.size());
        for (std::size_t g = 0; g < jets.size(); g++) {
            const double at = recipe.at[g];
            const Jet r = jets[g] = weights::correlation(recipe, phi[0], at);
            const bool inside = groups ? r.value < 1.0 && 1.0 + (at - 1.0) * r.value > 0.0
                                       : std::fabs(r.value) < 1.0;
            if (!inside) return false;
            const Jet log = groups ? weights::log_of_groups(at, r) : weights::log_of_chain(r);
            out.log_r += recipe.counts[g] * log.value;
            out.log_first[0] += recipe.counts[g] * log.first;
            out.log_second[0] += recipe.counts[g] * log.second;
        }
        for (int s = 0; s < k; s++) {
            const int g = recipe.which[s], kind = recipe.kinds[s];
            const Jet c = groups ? weights::of_groups(kind, recipe.at[g], jets[g])
                                 : weights::of_chain(kind, jets[g]);
            out.c[s] = c.value;
            out.first[s] = c.first;
            out.second[s] = c.second;
        }
    }
    if (!recipe.variances) return true;
    const double* loadings = recipe.loadings.data();
    const int v = recipe.variances;
    for (int s = 0; s < k; s++) {
        const double* left = loadings + recipe.left[s] * v;
        const double* right = loadings + recipe.right[s] * v;
        double e = 0.0;
        for (int i = 0; i < v; i++) e -= (left[i] + right[i]) * phi[own + i];
        const double scale = std::exp(e);
        const double c = out.c[s] *= scale;
        if (own) {
            out.first[s] *= scale;
            out.second[s] *= scale;
        }
        for (int i = 0; i < v; i++) {
            const int a = own + i;
            const double slope = -(left[i] + right[i]);
            out.first[a * k + s] = c * slope;
            if (own) out.second[a * k + s] = out.second[a * m * k + s] = out.first[s] * slope;
            for (int j = 0; j < v; j++)
                out.second[(a * m + own + j) * k + s] = -c * slope * (left[j] + right[j]);
        }
    }
    for (int s = 0; s < recipe.strata; s++)
        for (int i = 0; i < v; i++) {
            out.log_r += 2.0 * recipe.sizes[s] * loadings[s * v + i] * phi[own + i];
            out.log_first[own + i] += 2.0 * recipe.sizes[s] * loadings[s * v + i];
        }
    return true;
}

}  // namespace henderson
