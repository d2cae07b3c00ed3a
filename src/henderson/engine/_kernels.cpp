// Python's door to the compiled kernels: checks shapes, hands over pointers, releases the GIL.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "cpp/crossed.hpp"
#include "cpp/factor_levels.hpp"
#include "cpp/fit.hpp"
#include "cpp/iterative_module.hpp"
#include "cpp/many.hpp"
#include "cpp/rows.hpp"
#include "cpp/structured_module.hpp"
#include "cpp/tail.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using namespace henderson;

using In1 = nb::ndarray<const double, nb::ndim<1>, nb::device::cpu>;
using In2 = nb::ndarray<const double, nb::ndim<2>, nb::device::cpu>;
using In3 = nb::ndarray<const double, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Square = nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using CodesIn = nb::ndarray<nb::ro, nb::ndim<1>, nb::device::cpu>;
using Out = nb::ndarray<nb::numpy, double>;
using TermIn = std::tuple<int, int, int>;
using RulesIn = std::vector<double>;

void need(bool ok, const char* message) {
    if (!ok) throw std::invalid_argument(message);
}

// A new array that Python owns, and where its numbers go.
struct NewArray {
    double* data;
    Out array;

    explicit NewArray(std::initializer_list<std::size_t> shape) {
        std::size_t count = 1;
        for (std::size_t s : shape) count *= s;
        data = new double[count + 1];
        nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<double*>(p); });
        array = Out(data, shape.size(), shape.begin(), owner);
    }
};

Out array_of(const std::vector<double>& values, std::initializer_list<std::size_t> shape) {
    NewArray to(shape);
    std::copy(values.begin(), values.end(), to.data);
    return to.array;
}

Table table_of(const In2& a) {
    return {a.data(), a.stride(0), a.stride(1), static_cast<int>(a.shape(1))};
}

Codes codes_of(const CodesIn& a) {
    const bool wide = a.dtype() == nb::dtype<std::int64_t>();
    need(wide || a.dtype() == nb::dtype<std::int32_t>(), "codes must be 32- or 64-bit integers");
    return {a.data(), a.stride(0), wide};
}

std::vector<Part> parts_of(const std::vector<TermIn>& terms, int size) {
    std::vector<Part> out;
    for (auto [start, stop, rotation] : terms) {
        need(start >= 0 && start < stop && stop <= size, "a term's columns are outside z");
        out.push_back({start, stop, static_cast<Rotation>(rotation)});
    }
    return out;
}

std::vector<Term> terms_of(const std::vector<TermIn>& terms, int size) {
    std::vector<Term> out;
    for (auto [start, stop, diagonal] : terms) {
        need(start >= 0 && start < stop && stop <= size, "a term's columns are outside z");
        out.push_back({start, stop, diagonal != 0});
    }
    return out;
}

Rules rules_of(const RulesIn& r) {
    need(r.size() == 8, "eight rules");
    return {r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7]};
}

Rows rows_of(const In1& y, const In2& x, const In2& z, const std::optional<In1>& weights) {
    const Index n = static_cast<Index>(y.shape(0));
    need(static_cast<Index>(x.shape(0)) == n && static_cast<Index>(z.shape(0)) == n,
         "y, x and z differ in their numbers of rows");
    need(!weights || static_cast<Index>(weights->shape(0)) == n, "weights differ in length from y");
    Rows rows{};
    rows.n = n;
    rows.x = table_of(x);
    rows.y = {y.data(), y.stride(0), 0, 1};
    rows.z = table_of(z);
    rows.weights = weights ? weights->data() : nullptr;
    rows.weight_stride = weights ? weights->stride(0) : 0;
    rows.y_scale = 1.0;
    return rows;
}

nb::object reduce(In1 y, In2 x, In2 z, CodesIn codes, Index n_levels, std::optional<In1> weights,
                  std::vector<TermIn> terms) {
    const Rows rows = rows_of(y, x, z, weights);
    need(codes.shape(0) == y.shape(0), "codes differ in length from y");
    const Codes taken = codes_of(codes);
    const std::size_t p = x.shape(1), k = z.shape(1), q = p + 1, j = n_levels;
    const std::vector<Part> parts = parts_of(terms, static_cast<int>(k));
    NewArray root({j, k, k}), dense({j, k, q}), within({q, q});
    Maps maps;
    bool done = false;
    {
        nb::gil_scoped_release release;
        done =
            Reduction(rows, taken, n_levels, parts).run(maps, {root.data, dense.data, within.data});
    }
    if (!done) return nb::none();
    return nb::make_tuple(array_of(maps.r_x, {p, p}), array_of(maps.beta0, {p}), maps.y_scale,
                          array_of(maps.r_z, {k, k}), root.array, dense.array, within.array);
}

nb::tuple level_products(CodesIn codes, Index n_levels, In2 z, In2 xy) {
    const Index n = static_cast<Index>(z.shape(0));
    need(xy.shape(1) > 0, "xy needs at least one column");
    need(static_cast<Index>(codes.shape(0)) == n && static_cast<Index>(xy.shape(0)) == n,
         "codes, z and xy differ in their numbers of rows");
    const Codes taken = codes_of(codes);
    Rows rows{};
    rows.n = n;
    rows.x = table_of(xy);
    rows.x.count -= 1;
    rows.y = {xy.data() + rows.x.count * rows.x.column, rows.x.row, 0, 1};
    rows.z = table_of(z);
    rows.y_scale = 1.0;
    const int k = rows.z.count, q = rows.x.count + 1, length = triangle(k) + k * q;
    const std::size_t j = n_levels, kk = k, qq = q;
    NewArray a({j, kk, kk}), b({j, kk, qq});
    bool inside = false;
    {
        nb::gil_scoped_release release;
        std::vector<double> records(j * length, 0.0);
        Doubles work(row_work(q - 1, k));
        inside = passes().levels(rows, taken, n_levels, records.data(), nullptr, work.get());
        for (std::size_t l = 0; inside && l < j; l++) {
            const double* record = records.data() + l * length;
            for (int r = 0; r < k; r++)
                for (int c = 0; c < k; c++) a.data[l * k * k + r * k + c] = record[packed(r, c)];
            std::copy(record + triangle(k), record + length, b.data + l * k * q);
        }
    }
    if (!inside) throw std::out_of_range("a grouping code is outside 0..n_levels-1");
    return nb::make_tuple(a.array, b.array);
}

// Cross-products that Python holds: C (J, K, K), T (J, K, p + 1), within (p + 1, p + 1).
struct Products {
    In3 root, dense;
    Square within;

    Products(In3 c, In3 t, Square w)
        : root(std::move(c)), dense(std::move(t)), within(std::move(w)) {
        const std::size_t k = root.shape(1), q = dense.shape(2);
        need(k >= 1 && k <= static_cast<std::size_t>(MAX_SIZE), "1 to 8 effects per level");
        need(q >= 1 && root.shape(2) == k && dense.shape(1) == k && dense.shape(0) == root.shape(0),
             "root and dense do not belong together");
        need(within.shape(0) == q && within.shape(1) == q,
             "within and dense do not belong together");
    }
    int size() const { return static_cast<int>(root.shape(1)); }
    int p() const { return static_cast<int>(dense.shape(2)) - 1; }
    Index levels() const { return static_cast<Index>(root.shape(0)); }
};

// A model on such cross-products, ready to be evaluated.
struct Loaded {
    Model model;
    Doubles shared, y;
    OneFactor factor;

    Loaded(const Products& data, Index n, double log_weights, bool reml,
           const std::vector<TermIn>& terms)
        : model(n, data.levels(), {data.size()}, data.p(), reml, log_weights,
                terms_of(terms, data.size())),
          shared(pack_shared(model, data.root.data(), data.dense.data())),
          y(pack_response(model, data.dense.data())),
          factor(model, shared.get()) {
        factor.set_response(y.get(), data.within.data());
    }
};

void check_start(const std::optional<Square>& m, const Model& model) {
    need(!m || (m->shape(0) == static_cast<std::size_t>(model.size) &&
                m->shape(1) == static_cast<std::size_t>(model.size)),
         "the factor of Sigma has the wrong size");
}

nb::tuple evaluate(In3 root, In3 dense, Square within, Index n, double log_weights, bool reml,
                   std::vector<TermIn> terms, Square m) {
    const Loaded loaded(Products(root, dense, within), n, log_weights, reml, terms);
    const std::size_t k = loaded.model.size, p = loaded.model.p, count = loaded.model.count();
    check_start(m, loaded.model);
    Value value;
    Derivatives derivatives;
    loaded.factor.evaluate(m.data(), value);
    if (value.status != Status::fine)
        return nb::make_tuple(static_cast<int>(value.status), nb::none(), nb::none(), nb::none(),
                              nb::none(), nb::none());
    loaded.factor.differentiate(m.data(), value, derivatives);
    return nb::make_tuple(0, value.value, value.rss, array_of(value.beta, {p}),
                          array_of(derivatives.d, {k, k}),
                          array_of(derivatives.hessian, {count, count}));
}

nb::tuple factorise(In3 root, In3 dense, Square within, Square m) {
    const Products data(root, dense, within);
    const std::size_t j = root.shape(0), k = root.shape(1), q = dense.shape(2), p = q - 1;
    need(m.shape(0) == k && m.shape(1) == k, "the factor of Sigma has the wrong size");
    NewArray gd({j, k, k}), f({j, k, q}), n_xy({q, q});
    LevelFactors out{gd.data, f.data, n_xy.data, 0.0};
    {
        nb::gil_scoped_release release;
        factor_levels(root.data(), dense.data(), m.data(), data.levels(), data.size(),
                      static_cast<int>(q), out);
    }
    for (std::size_t i = 0; i < q * q; i++) n_xy.data[i] += within.data()[i];
    Value value;
    const double log_xvx = solve_fixed(n_xy.data, static_cast<int>(p), value);
    return nb::make_tuple(static_cast<int>(value.status), gd.array, f.array, n_xy.array,
                          array_of(value.r_inverse, {p, p}), array_of(value.beta, {p}), value.rss,
                          out.log_det, log_xvx);
}

nb::tuple fit_one(In3 root, In3 dense, Square within, Index n, double log_weights, bool reml,
                  std::vector<TermIn> terms, std::optional<Square> start, RulesIn rules) {
    const Products data(root, dense, within);
    const std::size_t k = root.shape(1);
    NewArray m({k, k});
    Fitted out;
    {
        nb::gil_scoped_release release;
        const Loaded loaded(data, n, log_weights, reml, terms);
        check_start(start, loaded.model);
        out = fit(loaded.factor, start ? start->data() : nullptr, rules_of(rules));
        std::copy(out.at.m.begin(), out.at.m.end(), m.data);
    }
    return nb::make_tuple(static_cast<int>(out.status), m.array, out.at.value.value, out.converged,
                          out.decrease, out.curvature, out.evaluations);
}

nb::dict many(In2 y, In2 x, In2 z, nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig> codes,
              Index n_levels,
              std::optional<nb::ndarray<const double, nb::ndim<1>, nb::c_contig>> root_weights,
              double log_weights, bool reml, std::vector<TermIn> terms, std::optional<Square> start,
              Square contrasts, RulesIn rules, int threads) {
    const std::size_t n = y.shape(0), m = y.shape(1), p = x.shape(1), k = z.shape(1);
    need(x.shape(0) == n && z.shape(0) == n && codes.shape(0) == n,
         "y, x, z and codes differ in their numbers of rows");
    need(!root_weights || root_weights->shape(0) == n, "weights differ in length from y");
    need(contrasts.shape(1) == p, "contrasts need one column per fixed effect");
    const Model model(static_cast<Index>(n), n_levels, {static_cast<int>(k)}, static_cast<int>(p),
                      reml, log_weights, terms_of(terms, static_cast<int>(k)));
    check_start(start, model);
    const int rows = static_cast<int>(contrasts.shape(0));
    NewArray value({m}), y_scale({m}), s2({m}), coef({m, p}), beta({m, p}), r_inverse({m, p, p}),
        factor({m, k, k}), df({m, contrasts.shape(0)}), status({m}), evaluations({m}),
        converged({m});
    {
        nb::gil_scoped_release release;
        std::vector<int> codes_of_status(m), counts(m);
        std::unique_ptr<bool[]> found(new bool[m]);
        const Design design{table_of(x), table_of(z), codes.data(),
                            root_weights ? root_weights->data() : nullptr};
        const ManyOut out{codes_of_status.data(), counts.data(), found.get(), value.data,
                          y_scale.data,           s2.data,       coef.data,   beta.data,
                          r_inverse.data,         factor.data,   df.data};
        Many(model, design, rules_of(rules))
            .run(table_of(y), start ? start->data() : nullptr, contrasts.data(), rows, threads,
                 out);
        for (std::size_t i = 0; i < m; i++) {
            status.data[i] = codes_of_status[i];
            evaluations.data[i] = counts[i];
            converged.data[i] = found[i];
        }
    }
    nb::dict out;
    out["status"] = status.array;
    out["evaluations"] = evaluations.array;
    out["converged"] = converged.array;
    out["value"] = value.array;
    out["y_scale"] = y_scale.array;
    out["s2"] = s2.array;
    out["coef"] = coef.array;
    out["beta"] = beta.array;
    out["r_inverse"] = r_inverse.array;
    out["m"] = factor.array;
    out["df"] = df.array;
    return out;
}

using Indices = nb::ndarray<const std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Values = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

Links links_of(const Indices& pointers, const Indices& columns, const Values& values,
               std::size_t size, std::size_t m) {
    need(size > 0 && (pointers.size() - 1) % size == 0, "rows are not whole levels");
    need(columns.size() == values.size(), "columns and values differ in length");
    return Links(pointers.data(), columns.data(), values.data(), (pointers.size() - 1) / size, size,
                 m);
}

Out weighted_gram_of(Indices pointers, Indices columns, Values values, In3 blocks, std::size_t m) {
    need(blocks.shape(0) * blocks.shape(1) + 1 == pointers.size(), "one block per level");
    NewArray out{m, m};
    {
        nb::gil_scoped_release release;
        const Links l = links_of(pointers, columns, values, blocks.shape(1), m);
        std::fill(out.data, out.data + m * m, 0.0);
        gram(l, blocks.data(), out.data, out.data);
        mirror_lower(out.data, m);
    }
    return out.array;
}

Out level_quadratic_of(Indices pointers, Indices columns, Values values, Square t,
                       std::size_t size) {
    const std::size_t levels = (pointers.size() - 1) / size;
    NewArray out{levels, size, size};
    {
        nb::gil_scoped_release release;
        const Links l = links_of(pointers, columns, values, size, t.shape(0));
        quadratic_of_levels(l, t.data(), out.data);
    }
    return out.array;
}

Grouped grouped_of(const CodesIn& codes, const In2& z, Index levels, std::size_t offset) {
    need(codes.shape(0) == z.shape(0), "codes and z differ in their numbers of rows");
    return {codes_of(codes), table_of(z), levels, offset};
}

// A copy that Python owns.
template <class T>
nb::ndarray<nb::numpy, T> owned(std::vector<T>&& values) {
    auto* kept = new std::vector<T>(std::move(values));
    nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
    return nb::ndarray<nb::numpy, T>(kept->data(), {kept->size()}, owner);
}

// (pointers, columns, values) of the links, within_zxy (m, q), the component of each effect, and
// Z_tail'Z_tail (m, m) if the components are one or m is at most `small`.
nb::object tail_products(CodesIn codes, In2 z, Index n_levels, In3 inverse,
                         std::vector<std::tuple<CodesIn, In2, Index>> tail, In2 xy,
                         std::size_t small) {
    const Index n = static_cast<Index>(xy.shape(0));
    need(z.shape(1) >= 1 && z.shape(1) <= static_cast<std::size_t>(MAX_SIZE) &&
             inverse.shape(0) == static_cast<std::size_t>(n_levels) &&
             inverse.shape(1) == z.shape(1),
         "inverse and z do not belong together");
    const Grouped head = grouped_of(codes, z, n_levels, 0);
    std::vector<Grouped> rest;
    std::size_t m = 0;
    for (const auto& [own_codes, own_z, levels] : tail) {
        need(static_cast<Index>(own_z.shape(0)) == n, "factors differ in their numbers of rows");
        rest.push_back(grouped_of(own_codes, own_z, levels, m));
        m += levels * own_z.shape(1);
    }
    if (!head.inside(n) || !std::all_of(rest.begin(), rest.end(),
                                        [n](const Grouped& t) { return t.inside(n); }))
        throw std::out_of_range("a grouping code is outside 0..n_levels-1");
    const std::size_t k = z.shape(1), q = xy.shape(1);
    const std::size_t limit = std::numeric_limits<std::int32_t>::max();
    if (static_cast<std::size_t>(n) * k * rest.size() > limit || m > limit) return nb::none();
    NewArray zxy({m, q});
    std::vector<double> zz;
    std::vector<std::int64_t> labels;
    Links links(n_levels, k, m);
    {
        nb::gil_scoped_release release;
        links = link(head, rest, m, n, inverse.data());
        labels = components(links, rest);
        std::fill(zxy.data, zxy.data + m * q, 0.0);
        add_products(rest, table_of(xy), n, zxy.data);
        const bool one = std::all_of(labels.begin(), labels.end(), [](auto l) { return l == 0; });
        if (one || m <= small) {
            zz.assign(m * m, 0.0);
            add_squares(rest, n, m, zz.data());
            mirror_lower(zz.data(), m);
        }
    }
    const bool made = !zz.empty();
    return nb::make_tuple(owned(std::move(links.pointers)), owned(std::move(links.columns)),
                          owned(std::move(links.values)), zxy.array, owned(std::move(labels)),
                          made ? nb::cast(owned(std::move(zz))) : nb::none());
}

void mirror(nb::ndarray<double, nb::ndim<2>, nb::c_contig, nb::device::cpu> a) {
    need(a.shape(0) == a.shape(1), "not a square matrix");
    nb::gil_scoped_release release;
    mirror_lower(a.data(), a.shape(0));
}

// scipy's BLAS and LAPACK, as the capsules of its Cython modules hold them.
template <class Function>
void borrow(nb::dict functions, const char* name, Function& to) {
    const nb::object capsule = functions[name];
    PyObject* raw = capsule.ptr();
    void* found = PyCapsule_GetPointer(raw, PyCapsule_GetName(raw));
    need(found != nullptr, "not a capsule");
    to = reinterpret_cast<Function>(found);
}

void borrow_lapack(nb::dict blas, nb::dict functions) {
    borrow(functions, "dpotrf", lapack().potrf);
    borrow(functions, "dpotri", lapack().potri);
    borrow(functions, "dpotrs", lapack().potrs);
    borrow(functions, "dtrtrs", lapack().trtrs);
    borrow(blas, "dsymm", lapack().symm);
    borrow(blas, "dgemm", lapack().gemm);
}

Out square(std::unique_ptr<double[]> data, std::size_t m) {
    double* raw = data.release();
    nb::capsule owner(raw, [](void* p) noexcept { delete[] static_cast<double*>(p); });
    return Out(raw, {m, m}, owner);
}

nb::tuple fit_crossed(In3 root, In3 dense, Indices pointers, Indices columns, Values values,
                      Square within_xy, Square within_zxy, Square squares,
                      std::vector<std::pair<Index, int>> sizes, Index n, double log_weights,
                      bool reml, std::vector<TermIn> terms, std::optional<Square> start,
                      RulesIn rules, bool exact) {
    need(lapack().potrf != nullptr, "no LAPACK has been borrowed");
    const std::size_t k = root.shape(1), q = dense.shape(2), m = squares.shape(0);
    need(sizes.size() > 1 && within_zxy.shape(0) == q && within_zxy.shape(1) == m &&
             squares.shape(1) == m && within_xy.shape(0) == q && within_xy.shape(1) == q &&
             pointers.size() == root.shape(0) * k + 1,
         "the cross-products do not belong together");
    std::vector<int> widths;
    std::vector<Place> places;
    std::size_t offset = 0;
    int base = 0;
    for (auto [levels, size] : sizes) {
        widths.push_back(size);
        places.push_back({levels, size, base, offset});
        offset += static_cast<std::size_t>(levels) * size;
        base += size;
    }
    need(offset == root.shape(0) * k + m, "the factors have other effects than the cross-products");
    const Model model(n, sizes[0].first, widths, static_cast<int>(q) - 1, reml, log_weights,
                      terms_of(terms, base));
    check_start(start, model);
    const std::size_t j = root.shape(0), p = q - 1, size = base;
    NewArray found({size, size}), weighted({j, k, k}), gd({j, k, k}), f({j, k, q});
    Fitted out;
    std::unique_ptr<Crossed> criterion;
    {
        nb::gil_scoped_release release;
        const Links links = links_of(pointers, columns, values, k, m);
        const CrossedData data{root.data(), dense.data(), within_xy.data(), within_zxy.data(),
                               squares.data()};
        criterion = std::make_unique<Crossed>(model, data, links, places, exact);
        out = fit(*criterion, start ? start->data() : nullptr, rules_of(rules));
        std::copy(out.at.m.begin(), out.at.m.end(), found.data);
        if (out.status == Status::fine) 
            criterion->finish(out.at.m.data(), weighted.data, gd.data, f.data);
    }
    const auto verdict = nb::make_tuple(out.at.value.value, out.converged, out.decrease,
                                        out.curvature, out.evaluations);
    if (out.status != Status::fine)
        return nb::make_tuple(static_cast<int>(out.status), found.array, verdict, nb::none());
    const Value& at = out.at.value;
    const Logs logs = criterion->logs();
    return nb::make_tuple(
        0, found.array, verdict,
        nb::make_tuple(weighted.array, gd.array, f.array, array_of(criterion->n_xy(), {q, q}),
                       array_of(criterion->n_zxy(), {q, m}), square(criterion->take_n_zz(), m),
                       square(criterion->take_factor(), m), array_of(criterion->t_xy(), {q, m}),
                       array_of(at.beta, {p}), array_of(at.r_inverse, {p, p}), at.rss,
                       logs.head + logs.tail, logs.fixed));
}

}  // namespace

NB_MODULE(_kernels, m) {
    m.doc() = "Compiled loops over rows and levels; the twin in NumPy is beside it.";
    m.attr("MAX_SIZE") = MAX_SIZE;
    m.attr("MAX_EFFECTS") = MAX_EFFECTS;
    m.def("instruction_set", &instruction_set);
    iterative::add_to(m);
    structured::add_to(m);
    m.def("level_products", &level_products, "codes"_a, "n_levels"_a, "z"_a, "xy"_a);
    m.def("reduce", &reduce, "y"_a, "x"_a, "z"_a, "codes"_a, "n_levels"_a, "weights"_a.none(),
          "terms"_a);
    m.def("evaluate", &evaluate, "root"_a, "dense"_a, "within"_a, "n"_a, "log_weights"_a, "reml"_a,
          "terms"_a, "m"_a);
    m.def("many", &many, "y"_a, "x"_a, "z"_a, "codes"_a, "n_levels"_a, "root_weights"_a.none(),
          "log_weights"_a, "reml"_a, "terms"_a, "start"_a.none(), "contrasts"_a, "rules"_a,
          "threads"_a);
    m.def("factorise", &factorise, "root"_a, "dense"_a, "within"_a, "m"_a);
    m.def("weighted_gram", &weighted_gram_of, "pointers"_a, "columns"_a, "values"_a, "blocks"_a,
          "m"_a);
    m.def("level_quadratic", &level_quadratic_of, "pointers"_a, "columns"_a, "values"_a, "t"_a,
          "size"_a);
    m.def("tail_products", &tail_products, "codes"_a, "z"_a, "n_levels"_a, "inverse"_a, "tail"_a,
          "xy"_a, "small"_a);
    m.def("mirror", &mirror, "a"_a);
    m.def("borrow_lapack", &borrow_lapack, "blas"_a, "lapack"_a);
    m.def("fit_crossed", &fit_crossed, "root"_a, "dense"_a, "pointers"_a, "columns"_a, "values"_a,
          "within_xy"_a, "within_zxy"_a, "squares"_a, "sizes"_a, "n"_a, "log_weights"_a,
          "reml"_a, "terms"_a, "start"_a.none(), "rules"_a, "exact"_a);
    m.def("fit", &fit_one, "root"_a, "dense"_a, "within"_a, "n"_a, "log_weights"_a, "reml"_a,
          "terms"_a, "start"_a.none(), "rules"_a);
}
