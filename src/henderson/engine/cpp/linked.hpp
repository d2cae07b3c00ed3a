// Sums over the levels of the head of what its sparse rows do to the tail's dense matrices.
#pragma once

#include <cstddef>
#include <cstdint>

namespace henderson {

// Compressed rows: level j owns rows j size ... j size + size - 1 of an (levels size, m) matrix.
struct Linked {
    const std::int32_t* pointers;
    const std::int32_t* columns;
    const double* values;
    std::size_t levels, size, m;
};

// out (m, m) = sum_j L_j' W_j L_j with symmetric blocks W (levels, size, size).
inline void weighted_gram(const Linked& l, const double* blocks, double* out) {
    for (std::size_t i = 0; i < l.m * l.m; ++i) out[i] = 0.0;
    for (std::size_t j = 0; j < l.levels; ++j) {
        const double* block = blocks + j * l.size * l.size;
        for (std::size_t r = 0; r < l.size; ++r) {
            for (std::int32_t a = l.pointers[j * l.size + r]; a < l.pointers[j * l.size + r + 1]; ++a) {
                double* row = out + static_cast<std::size_t>(l.columns[a]) * l.m;
                for (std::size_t s = 0; s < l.size; ++s) {
                    const double scale = l.values[a] * block[r * l.size + s];
                    const std::int32_t end = l.pointers[j * l.size + s + 1];
                    for (std::int32_t b = l.pointers[j * l.size + s]; b < end; ++b)
                        row[l.columns[b]] += scale * l.values[b];
                }
            }
        }
    }
}

// out (levels, size, size) = L_j T L_j' for a dense symmetric T (m, m).
inline void level_quadratic(const Linked& l, const double* t, double* out) {
    for (std::size_t j = 0; j < l.levels; ++j) {
        double* block = out + j * l.size * l.size;
        for (std::size_t r = 0; r < l.size; ++r) {
            for (std::size_t s = 0; s <= r; ++s) {
                double sum = 0.0;
                const std::int32_t end = l.pointers[j * l.size + s + 1];
                for (std::int32_t a = l.pointers[j * l.size + r]; a < l.pointers[j * l.size + r + 1]; ++a) {
                    const double* row = t + static_cast<std::size_t>(l.columns[a]) * l.m;
                    double inner = 0.0;
                    for (std::int32_t b = l.pointers[j * l.size + s]; b < end; ++b)
                        inner += row[l.columns[b]] * l.values[b];
                    sum += l.values[a] * inner;
                }
                block[r * l.size + s] = block[s * l.size + r] = sum;
            }
        }
    }
}

}  // namespace henderson
