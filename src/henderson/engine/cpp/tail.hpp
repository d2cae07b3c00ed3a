// One pass over the rows for the factors of the tail: their links with the head's levels, their
// products with each other and with [X y], and which of their effects are connected.
#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "links.hpp"
#include "passes.hpp"

namespace henderson {

// A factor's codes and its columns of Z (n, size); its effects start at `offset` of the tail.
struct Grouped {
    Codes codes;
    Table z;
    Index levels;
    std::size_t offset;

    std::size_t code(Index i) const {
        return codes.wide ? static_cast<const std::int64_t*>(codes.data)[i * codes.stride]
                          : static_cast<const std::int32_t*>(codes.data)[i * codes.stride];
    }
    double value(Index i, int k) const { return z.data[i * z.row + k * z.column]; }
    bool inside(Index n) const {
        for (Index i = 0; i < n; i++)
            if (code(i) >= static_cast<std::size_t>(levels)) return false;
        return true;
    }
};

// Rows in the order of the head's levels, and where each level starts.
struct Sorted {
    std::vector<std::int32_t> rows;
    std::vector<Index> starts;

    Sorted(const Grouped& head, Index n) : rows(n), starts(head.levels + 1, 0) {
        for (Index i = 0; i < n; i++) starts[head.code(i) + 1]++;
        for (Index j = 0; j < head.levels; j++) starts[j + 1] += starts[j];
        std::vector<Index> next(starts.begin(), starts.end() - 1);
        for (Index i = 0; i < n; i++) rows[next[head.code(i)]++] = static_cast<std::int32_t>(i);
    }
};

// T = C^+ Z_1'Z_tail with `inverse` C^+ (levels, size, size); the columns of a tail level are there
// for every level of the head that shares a row with it.
inline Links link(const Grouped& head, const std::vector<Grouped>& tail, std::size_t m, Index n,
                  const double* inverse) {
    const std::size_t k = head.z.count;
    const Sorted sorted(head, n);
    Links out(head.levels, k, m);
    std::vector<std::int32_t> place(m, -1);  // of a column among the level's own
    std::vector<std::int32_t> own;
    std::vector<double> sums(m * k);
    std::vector<double> moved(k);
    for (Index j = 0; j < head.levels; j++) {
        own.clear();
        for (Index at = sorted.starts[j]; at < sorted.starts[j + 1]; at++) {
            const Index i = sorted.rows[at];
            for (const Grouped& t : tail)
                for (int c = 0; c < t.z.count; c++) {
                    const std::size_t column = t.offset + t.code(i) * t.z.count + c;
                    if (place[column] < 0) {
                        place[column] = 1;
                        own.push_back(static_cast<std::int32_t>(column));
                        std::fill_n(sums.begin() + column * k, k, 0.0);
                    }
                    const double z = t.value(i, c);
                    for (std::size_t l = 0; l < k; l++)
                        sums[column * k + l] += head.value(i, static_cast<int>(l)) * z;
                }
        }
        std::sort(own.begin(), own.end());
        const double* block = inverse + j * k * k;
        for (std::int32_t column : own) {
            place[column] = -1;
            out.columns.push_back(column);
            for (std::size_t r = 0; r < k; r++) {
                double sum = 0.0;
                for (std::size_t l = 0; l < k; l++) sum += block[r * k + l] * sums[column * k + l];
                out.values.push_back(sum);
            }
        }
        out.pointers.push_back(static_cast<std::int32_t>(out.columns.size()));
    }
    return out;
}

// The component of each effect of the tail, numbered in the order of their first effects: two
// effects are connected if a level of the head holds both.
inline std::vector<std::int64_t> components(const Links& l, const std::vector<Grouped>& tail) {
    std::vector<std::int32_t> parent(l.m);
    std::iota(parent.begin(), parent.end(), 0);
    const auto root = [&parent](std::int32_t x) {
        while (parent[x] != x) x = parent[x] = parent[parent[x]];
        return x;
    };
    const auto join = [&](std::int32_t a, std::int32_t b) {
        a = root(a), b = root(b);
        if (a != b) parent[std::max(a, b)] = std::min(a, b);
    };
    for (const Grouped& t : tail)
        for (Index level = 0; level < t.levels; level++)
            for (int c = 1; c < t.z.count; c++) {
                const auto first = static_cast<std::int32_t>(t.offset + level * t.z.count);
                join(first, first + c);
            }
    for (std::size_t j = 0; j < l.levels; j++)
        for (std::int32_t e = l.pointers[j] + 1; e < l.pointers[j + 1]; e++)
            join(l.columns[l.pointers[j]], l.columns[e]);
    std::vector<std::int64_t> label(l.m, -1);
    std::int64_t count = 0;
    for (std::size_t c = 0; c < l.m; c++) {
        const std::int32_t top = root(static_cast<std::int32_t>(c));
        if (label[top] < 0) label[top] = count++;
        label[c] = label[top];
    }
    return label;
}

// to (m, q) += Z_tail'[X y].
inline void add_products(const std::vector<Grouped>& tail, const Table& xy, Index n, double* to) {
    for (const Grouped& t : tail)
        for (Index i = 0; i < n; i++)
            for (int c = 0; c < t.z.count; c++) {
                double* row = to + (t.offset + t.code(i) * t.z.count + c) * xy.count;
                const double z = t.value(i, c);
                for (int s = 0; s < xy.count; s++)
                    row[s] += z * xy.data[i * xy.row + s * xy.column];
            }
}

// to (m, m) += Z_tail'Z_tail, its lower triangle.
inline void add_squares(const std::vector<Grouped>& tail, Index n, std::size_t m, double* to) {
    for (std::size_t s = 0; s < tail.size(); s++)
        for (std::size_t t = 0; t <= s; t++)
            for (Index i = 0; i < n; i++) {
                const std::size_t row = tail[s].offset + tail[s].code(i) * tail[s].z.count;
                const std::size_t column = tail[t].offset + tail[t].code(i) * tail[t].z.count;
                for (int a = 0; a < tail[s].z.count; a++)
                    for (int b = 0; b < (s == t ? a + 1 : tail[t].z.count); b++)
                        to[(row + a) * m + column + b] += tail[s].value(i, a) * tail[t].value(i, b);
            }
}

}  // namespace henderson
