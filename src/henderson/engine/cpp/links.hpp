// The sparse links between the head's levels and the effects of the tail, T = C^+ Z_1'Z_tail, and
// what they do to dense symmetric matrices, of which the lower triangle is read and written.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace henderson {

// Level j owns entries pointers[j] to pointers[j + 1] - 1; an entry is a column (ascending within
// the level) and the `size` values of the level's effects there. by_column holds the same entries
// column by column, with their level and its first entry.
struct Links {
    struct Place {
        std::int32_t level, start, entry;
    };
    std::size_t levels, size, m;
    std::vector<std::int32_t> pointers, columns, starts;
    std::vector<double> values;
    std::vector<Place> by_column;

    // From compressed rows: level j owns rows j size ... j size + size - 1 of an (levels size, m)
    // matrix with sorted columns.
    Links(const std::int32_t* row_pointers, const std::int32_t* row_columns, const double* from,
          std::size_t n_levels, std::size_t k, std::size_t width)
        : levels(n_levels), size(k), m(width), pointers(1, 0) {
        pointers.reserve(levels + 1);
        columns.reserve(row_pointers[levels * size]);
        values.reserve(row_pointers[levels * size]);
        std::vector<std::int32_t> at(size);
        for (std::size_t j = 0; j < levels; j++) {
            const std::int32_t* ends = row_pointers + j * size + 1;
            for (std::size_t r = 0; r < size; r++) at[r] = row_pointers[j * size + r];
            for (;;) {
                std::int32_t least = static_cast<std::int32_t>(m);
                for (std::size_t r = 0; r < size; r++)
                    if (at[r] < ends[r]) least = std::min(least, row_columns[at[r]]);
                if (least == static_cast<std::int32_t>(m)) break;
                columns.push_back(least);
                for (std::size_t r = 0; r < size; r++) {
                    const bool here = at[r] < ends[r] && row_columns[at[r]] == least;
                    values.push_back(here ? from[at[r]++] : 0.0);
                }
            }
            pointers.push_back(static_cast<std::int32_t>(columns.size()));
        }
        index_columns();
    }

    // No entries yet: levels are appended one by one, then the columns indexed.
    Links(std::size_t n_levels, std::size_t k, std::size_t width)
        : levels(n_levels), size(k), m(width), pointers(1, 0) {}

    std::size_t count() const { return columns.size(); }

    void index_columns() {
        starts.assign(m + 1, 0);
        by_column.resize(count());
        for (std::int32_t c : columns) starts[c + 1]++;
        for (std::size_t c = 0; c < m; c++) starts[c + 1] += starts[c];
        std::vector<std::int32_t> next(starts.begin(), starts.end() - 1);
        for (std::size_t j = 0; j < levels; j++)
            for (std::int32_t e = pointers[j]; e < pointers[j + 1]; e++)
                by_column[next[columns[e]]++] = {static_cast<std::int32_t>(j), pointers[j], e};
    }
};

// The upper triangle of a (m, m) from the lower one, in squares that fit the cache.
inline void mirror_lower(double* a, std::size_t m) {
    constexpr std::size_t SIDE = 32;
    for (std::size_t i = 0; i < m; i += SIDE)
        for (std::size_t j = 0; j <= i; j += SIDE)
            for (std::size_t r = i; r < std::min(i + SIDE, m); r++)
                for (std::size_t c = j; c < std::min(j + SIDE, r); c++) a[c * m + r] = a[r * m + c];
}

constexpr std::int32_t AHEAD = 6;  // visits

// What a visit to the entries of another level will read soon.
inline void prefetch(const Links& l, std::int32_t place) {
#if defined(__GNUC__)
    if (place >= static_cast<std::int32_t>(l.count())) return;
    const std::size_t start = l.by_column[place].start;
    const auto* columns = reinterpret_cast<const char*>(l.columns.data() + start);
    const auto* values = reinterpret_cast<const char*>(l.values.data() + start * l.size);
    __builtin_prefetch(columns);
    __builtin_prefetch(columns + 64);
    for (int line = 0; line < 4; line++) __builtin_prefetch(values + 64 * line);
#endif
}

// out (m, m) = from + sum_j L_j' W_j L_j, their lower triangles, with symmetric blocks W (levels,
// size, size). Row by row of `out`, which stays in the cache.
inline void gram(const Links& l, const double* blocks, const double* from, double* out) {
    const std::size_t k = l.size;
    const std::int32_t* column = l.columns.data();
    std::vector<double> moved(k);
    for (std::size_t a = 0; a < l.m; a++) {
        double* row = out + a * l.m;
        std::copy(from + a * l.m, from + a * l.m + a + 1, row);
        for (std::int32_t i = l.starts[a]; i < l.starts[a + 1]; i++) {
            prefetch(l, i + AHEAD);
            const auto [level, start, entry] = l.by_column[i];
            const double* block = blocks + level * k * k;
            const double* own = l.values.data() + entry * k;
            if (k == 1) {
                const double scale = own[0] * block[0];
                for (std::int32_t e = start; e <= entry; e++)
                    row[column[e]] += scale * l.values[e];
                continue;
            }
            for (std::size_t s = 0; s < k; s++) {
                moved[s] = 0.0;
                for (std::size_t r = 0; r < k; r++) moved[s] += own[r] * block[r * k + s];
            }
            for (std::int32_t e = start; e <= entry; e++) {
                double sum = 0.0;
                for (std::size_t s = 0; s < k; s++) sum += moved[s] * l.values[e * k + s];
                row[column[e]] += sum;
            }
        }
    }
}

// out (levels, size, size) = L_j T L_j' for a symmetric T (m, m).
inline void quadratic_of_levels(const Links& l, const double* t, double* out) {
    const std::size_t k = l.size;
    const std::int32_t* column = l.columns.data();
    std::vector<double> inner(k);
    std::fill(out, out + l.levels * k * k, 0.0);
    for (std::size_t a = 0; a < l.m; a++) {
        const double* row = t + a * l.m;
        for (std::int32_t i = l.starts[a]; i < l.starts[a + 1]; i++) {
            prefetch(l, i + AHEAD);
            const auto [level, start, entry] = l.by_column[i];
            const double* own = l.values.data() + entry * k;
            double* block = out + level * k * k;
            // half the diagonal entry: the other triangle is added afterwards
            for (std::size_t s = 0; s < k; s++) inner[s] = 0.5 * row[a] * own[s];
            if (k == 1) {
                double sum = 0.0;
                for (std::int32_t e = start; e < entry; e++)
                    sum += row[column[e]] * l.values[e];
                inner[0] += sum;
            } else {
                for (std::int32_t e = start; e < entry; e++)
                    for (std::size_t s = 0; s < k; s++)
                        inner[s] += row[column[e]] * l.values[e * k + s];
            }
            for (std::size_t r = 0; r < k; r++)
                for (std::size_t s = 0; s < k; s++) block[r * k + s] += own[r] * inner[s];
        }
    }
    for (std::size_t j = 0; j < l.levels; j++) {
        double* block = out + j * k * k;
        for (std::size_t r = 0; r < k; r++)
            for (std::size_t s = 0; s <= r; s++)
                block[r * k + s] = block[s * k + r] = block[r * k + s] + block[s * k + r];
    }
}

// to (count, m) += L' v for rows v (count, levels size).
inline void add_transposed(const Links& l, const double* v, int count, double* to) {
    const std::size_t k = l.size;
    for (int c = 0; c < count; c++) {
        const double* from = v + c * l.levels * k;
        double* row = to + c * l.m;
        for (std::size_t j = 0; j < l.levels; j++)
            for (std::int32_t e = l.pointers[j]; e < l.pointers[j + 1]; e++)
                for (std::size_t r = 0; r < k; r++)
                    row[l.columns[e]] += l.values[e * k + r] * from[j * k + r];
    }
}

// to (count, levels size) = L t for rows t (count, m).
inline void apply(const Links& l, const double* t, int count, double* to) {
    const std::size_t k = l.size;
    for (int c = 0; c < count; c++) {
        const double* row = t + c * l.m;
        double* out = to + c * l.levels * k;
        std::fill(out, out + l.levels * k, 0.0);
        for (std::size_t j = 0; j < l.levels; j++)
            for (std::int32_t e = l.pointers[j]; e < l.pointers[j + 1]; e++)
                for (std::size_t r = 0; r < k; r++)
                    out[j * k + r] += l.values[e * k + r] * row[l.columns[e]];
    }
}

}  // namespace henderson
