// The fit with structured residuals, as Python sees it.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>
#include <utility>

#include "fit.hpp"
#include "structured.hpp"

namespace henderson::structured {

namespace nb = nanobind;
using SetsIn = nb::ndarray<const double, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using PointIn = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using TermIn = std::tuple<int, int, int>;
// Correlation, its scale, gaps or sizes, their counts, kinds, which; log constant.
using CorrelationIn = std::tuple<int, double, std::vector<double>, std::vector<double>,
                                 std::vector<int>, std::vector<int>, double>;
// Strata on either side of a set, rows of each stratum, loadings stratum by stratum.
using VarianceIn =
    std::tuple<std::vector<int>, std::vector<int>, std::vector<double>, std::vector<double>>;

inline void need(bool ok, const char* message) {
    if (!ok) throw std::invalid_argument(message);
}

inline Recipe recipe_of(const CorrelationIn& correlation, const VarianceIn& variance, int sets) {
    Recipe out;
    const auto& [kind, scale, at, counts, kinds, which, constant] = correlation;
    const auto& [left, right, sizes, loadings] = variance;
    need(kind >= 0 && kind <= 3, "an unknown correlation");
    out.correlation = static_cast<Correlated>(kind);
    out.scale = scale;
    out.at = at;
    out.counts = counts;
    out.kinds = kinds;
    out.which = which;
    out.log_constant = constant;
    out.left = left;
    out.right = right;
    out.sizes = sizes;
    out.loadings = loadings;
    out.strata = static_cast<int>(sizes.size());
    need(out.strata > 0 && loadings.size() % sizes.size() == 0, "loadings and strata differ");
    out.variances = static_cast<int>(loadings.size() / sizes.size());
    const std::size_t count = sets;
    need(sets > 0 && kinds.size() == count && which.size() == count && left.size() == count &&
             right.size() == count && at.size() == counts.size(),
         "the recipe and the sets do not belong together");
    for (std::size_t s = 0; s < count; s++)
        need(left[s] >= 0 && left[s] < out.strata && right[s] >= 0 && right[s] < out.strata &&
                 (!kind || (which[s] >= 0 && which[s] < static_cast<int>(at.size()))),
             "a set's place is outside the recipe");
    return out;
}

// A model on the sets of its levels, ready to be evaluated.
struct Loaded {
    Recipe recipe;
    Model model;
    std::vector<double> fixed;
    Doubles packed;
    Structured criterion;

    static Model model_of(const SetsIn& sets, int size, Index n, double log_weights, bool reml,
                          const std::vector<TermIn>& terms, const PointIn& residual) {
        const int p = static_cast<int>(sets.shape(2)) - size - 1;
        need(sets.shape(2) == sets.shape(3) && p >= 0, "sets have columns [Z X y] on both sides");
        std::vector<Term> parts;
        for (auto [start, stop, diagonal] : terms) {
            need(start >= 0 && start < stop && stop <= size, "a term's columns are outside z");
            parts.push_back({start, stop, diagonal != 0});
        }
        Model model(n, static_cast<Index>(sets.shape(1)), {size}, p, reml, log_weights, parts);
        model.residual.assign(residual.data(), residual.data() + residual.size());
        return model;
    }

    Loaded(const SetsIn& sets, int size, Index n, double log_weights, bool reml,
           const std::vector<TermIn>& terms, const PointIn& residual,
           const CorrelationIn& correlation, const VarianceIn& variance)
        : recipe(recipe_of(correlation, variance, static_cast<int>(sets.shape(0)))),
          model(model_of(sets, size, n, log_weights, reml, terms, residual)),
          packed(pack_sets(model, sets.data(), recipe.sets(), fixed)),
          criterion(model, recipe, packed.get(), fixed) {
        need(recipe.extra() == model.extra(), "the recipe has other parameters than the residuals");
    }
};

inline nb::ndarray<nb::numpy, double> taken(std::vector<double> values) {
    auto* kept = new std::vector<double>(std::move(values));
    nb::capsule owner(kept,
                      [](void* p) noexcept { delete static_cast<std::vector<double>*>(p); });
    return nb::ndarray<nb::numpy, double>(kept->data(), {kept->size()}, owner);
}

// The status, the point, the criterion and the verdict there; beta, R^-1 with X'V^-1X = R'R, and
// y'Py.
inline nb::tuple fit_of(SetsIn sets, int size, Index n, double log_weights, bool reml,
                        std::vector<TermIn> terms, PointIn residual, CorrelationIn correlation,
                        VarianceIn variance, std::optional<PointIn> start,
                        std::vector<double> r) {
    need(r.size() == 8, "eight rules");
    const Rules rules{r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7]};
    Fitted out;
    {
        nb::gil_scoped_release release;
        const Loaded loaded(sets, size, n, log_weights, reml, terms, residual, correlation,
                            variance);
        need(!start || static_cast<int>(start->size()) == loaded.model.length(),
             "the start has the wrong length");
        out = fit(loaded.criterion, start ? start->data() : nullptr, rules);
    }
    Value& at = out.at.value;
    return nb::make_tuple(static_cast<int>(out.status), taken(std::move(out.at.m)), at.value,
                          out.converged, out.decrease, out.curvature, out.evaluations,
                          taken(std::move(at.beta)), taken(std::move(at.r_inverse)), at.rss);
}

inline nb::tuple evaluate_of(SetsIn sets, int size, Index n, double log_weights, bool reml,
                             std::vector<TermIn> terms, PointIn residual,
                             CorrelationIn correlation, VarianceIn variance, PointIn point) {
    const Loaded loaded(sets, size, n, log_weights, reml, terms, residual, correlation, variance);
    need(static_cast<int>(point.size()) == loaded.model.length(), "the point has the wrong length");
    Value value;
    Derivatives derivatives;
    loaded.criterion.evaluate(point.data(), value);
    if (value.status == Status::fine)
        loaded.criterion.differentiate(point.data(), value, derivatives);
    return nb::make_tuple(static_cast<int>(value.status), value.value,
                          taken(std::move(derivatives.d)), taken(std::move(derivatives.extra)),
                          taken(std::move(derivatives.hessian)));
}

inline void add_to(nb::module_& m) {
    using namespace nb::literals;
    m.def("fit_structured", &fit_of, "sets"_a, "size"_a, "n"_a, "log_weights"_a, "reml"_a,
          "terms"_a, "residual"_a, "correlation"_a, "variance"_a, "start"_a.none(), "rules"_a);
    m.def("evaluate_structured", &evaluate_of, "sets"_a, "size"_a, "n"_a, "log_weights"_a,
          "reml"_a, "terms"_a, "residual"_a, "correlation"_a, "variance"_a, "point"_a);
}

}  // namespace henderson::structured
