// What the iterative engine does to large sparse tables: count cells, and multiply by many columns.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

namespace henderson::iterative {

// Compressed rows of a sparse matrix.
struct Sparse {
    const std::int64_t* pointers;
    const std::int32_t* indices;
    const double* values;
    std::size_t rows;
};

// Columns first ... first + WIDTH - 1 of out = A x for rows begin ... end - 1; x and out have `width`
// columns and are row-major, so that one index serves a whole run of doubles.
template <int WIDTH>
void multiply_columns(const Sparse& a, const double* x, std::size_t width, std::size_t first,
                      std::size_t begin, std::size_t end, double* out) {
    constexpr std::int64_t ahead = 12;
    const std::int64_t last = a.pointers[end];
    x += first;
    for (std::size_t i = begin; i < end; ++i) {
        double sum[WIDTH] = {};
        for (std::int64_t k = a.pointers[i]; k < a.pointers[i + 1]; ++k) {
#if defined(__GNUC__)
            if (k + ahead < last) {
                const double* next = x + a.indices[k + ahead] * width;
                for (int c = 0; c < WIDTH; c += 8) __builtin_prefetch(next + c);
            }
#endif
            const double* row = x + a.indices[k] * width;
            const double value = a.values[k];
            for (int c = 0; c < WIDTH; ++c) sum[c] += value * row[c];
        }
        std::copy(sum, sum + WIDTH, out + i * width + first);
    }
}

inline void multiply_rows(const Sparse& a, const double* x, std::size_t width, std::size_t begin,
                          std::size_t end, double* out) {
    std::size_t c = 0;
    for (; c + 16 <= width; c += 16) multiply_columns<16>(a, x, width, c, begin, end, out);
    if (c + 8 <= width) multiply_columns<8>(a, x, width, c, begin, end, out), c += 8;
    if (c + 4 <= width) multiply_columns<4>(a, x, width, c, begin, end, out), c += 4;
    if (c + 2 <= width) multiply_columns<2>(a, x, width, c, begin, end, out), c += 2;
    if (c < width) multiply_columns<1>(a, x, width, c, begin, end, out);
}

// out (rows, width) = A x. Each row is summed by one thread in the order of its entries: the numbers
// do not depend on how many threads there are, which share the entries evenly.
inline void multiply(const Sparse& a, const double* x, std::size_t width, double* out,
                     int threads) {
    std::vector<std::thread> others;
    std::size_t begin = 0;
    for (int t = 1; t <= threads; ++t) {
        const std::int64_t entries = a.pointers[a.rows] / threads * t;
        std::size_t end = a.rows;
        if (t < threads)
            end = std::upper_bound(a.pointers, a.pointers + a.rows, entries) - a.pointers;
        end = std::max(begin, end);
        if (t < threads)
            others.emplace_back([=, &a] { multiply_rows(a, x, width, begin, end, out); });
        else
            multiply_rows(a, x, width, begin, end, out);
        begin = end;
    }
    for (std::thread& other : others) other.join();
}

// The sums of left * right over the rows that share a level of two factors, one a cell, compressed
// by the levels of the first; the levels of the second ascend within it.
struct Cells {
    std::vector<std::int64_t> pointers;
    std::vector<std::int32_t> indices;
    std::vector<double> values;
};

// The levels of a factor, row by row, and how many there are.
template <class Integer>
struct Levels {
    const Integer* codes;
    std::size_t count;

    bool holds(std::size_t n) const {
        return std::all_of(codes, codes + n, [this](Integer c) {
            return c >= 0 && static_cast<std::size_t>(c) < count;
        });
    }
};

template <class Integer>
class CellTable {
  public:
    CellTable(Levels<Integer> first, Levels<Integer> second, std::size_t n)
        : first_(first), second_(second), n_(n) {}

    // False for a code out of bounds.
    bool run(const double* left, const double* right, Cells& out) const {
        if (!first_.holds(n_) || !second_.holds(n_)) return false;
        const std::vector<std::size_t> starts = level_starts();
        std::vector<std::int32_t> levels(n_);
        std::vector<double> products(n_);
        std::vector<std::size_t> next(starts.begin(), starts.end() - 1);
        for (std::size_t i = 0; i < n_; ++i) {
            const std::size_t at = next[first_.codes[i]]++;
            levels[at] = static_cast<std::int32_t>(second_.codes[i]);
            products[at] = left[i] * right[i];
        }
        merge(starts, levels, products, out);
        return true;
    }

  private:
    Levels<Integer> first_, second_;
    std::size_t n_;

    std::vector<std::size_t> level_starts() const {
        std::vector<std::size_t> starts(first_.count + 1, 0);
        for (std::size_t i = 0; i < n_; ++i) starts[first_.codes[i] + 1]++;
        for (std::size_t j = 0; j < first_.count; ++j) starts[j + 1] += starts[j];
        return starts;
    }

    // One pass over the rows, which stand level after level of the first factor.
    void merge(const std::vector<std::size_t>& starts, const std::vector<std::int32_t>& levels,
               const std::vector<double>& products, Cells& out) const {
        std::vector<double> sums(second_.count, 0.0);
        std::vector<std::size_t> seen(second_.count, first_.count);
        out.pointers.assign(1, 0);
        for (std::size_t j = 0; j < first_.count; ++j) {
            const std::size_t begin = out.indices.size();
            for (std::size_t i = starts[j]; i < starts[j + 1]; ++i) {
                if (seen[levels[i]] != j) {
                    seen[levels[i]] = j;
                    out.indices.push_back(levels[i]);
                }
                sums[levels[i]] += products[i];
            }
            std::sort(out.indices.begin() + begin, out.indices.end());
            for (std::size_t k = begin; k < out.indices.size(); ++k) {
                out.values.push_back(sums[out.indices[k]]);
                sums[out.indices[k]] = 0.0;
            }
            out.pointers.push_back(static_cast<std::int64_t>(out.indices.size()));
        }
    }
};

}  // namespace henderson::iterative
