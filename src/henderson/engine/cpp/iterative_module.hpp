// The iterative engine's kernels, as Python sees them.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <stdexcept>
#include <type_traits>
#include <utility>

#include "iterative.hpp"

namespace henderson::iterative {

namespace nb = nanobind;
using Block = nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Column = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Pointers = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Indices = nb::ndarray<const std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// Numbers that Python takes over.
template <class T>
nb::ndarray<nb::numpy, T> taken(std::vector<T>&& values) {
    auto* kept = new std::vector<T>(std::move(values));
    nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
    return nb::ndarray<nb::numpy, T>(kept->data(), {kept->size()}, owner);
}

inline nb::ndarray<nb::numpy, double> multiply_of(Pointers pointers, Indices indices, Column values,
                                                  Block x, int threads) {
    if (indices.size() != values.size() || threads < 1 || pointers.size() < 1)
        throw std::invalid_argument("indices and values belong together; at least one thread");
    const Sparse a{pointers.data(), indices.data(), values.data(), pointers.size() - 1};
    const std::size_t width = x.shape(1);
    double* out = new double[a.rows * width + 1];
    nb::capsule owner(out, [](void* p) noexcept { delete[] static_cast<double*>(p); });
    {
        nb::gil_scoped_release release;
        multiply(a, x.data(), width, out, threads);
    }
    return nb::ndarray<nb::numpy, double>(out, {a.rows, width}, owner);
}

template <class Integer>
nb::object cells_of(nb::ndarray<const Integer, nb::ndim<1>, nb::c_contig, nb::device::cpu> first,
                    std::size_t n_first,
                    nb::ndarray<const Integer, nb::ndim<1>, nb::c_contig, nb::device::cpu> second,
                    std::size_t n_second, Column left, Column right) {
    const std::size_t n = first.size();
    if (second.size() != n || left.size() != n || right.size() != n)
        throw std::invalid_argument("codes and columns differ in their numbers of rows");
    Cells out;
    bool inside = false;
    {
        nb::gil_scoped_release release;
        const Levels<Integer> a{first.data(), n_first}, b{second.data(), n_second};
        inside = CellTable<Integer>(a, b, n).run(left.data(), right.data(), out);
    }
    if (!inside) throw nb::index_error("a grouping code is outside 0..n_levels-1");
    return nb::make_tuple(taken(std::move(out.pointers)), taken(std::move(out.indices)),
                          taken(std::move(out.values)));
}

inline void add_to(nb::module_& m) {
    m.def("multiply", &multiply_of);
    m.def("cells", &cells_of<std::int64_t>);
    m.def("cells", &cells_of<std::int32_t>);
}

}  // namespace henderson::iterative
