// Streaming passes over rows. Rows are taken a tile at a time into column-major scratch memory,
// brought to standard coordinates there, and summed; nothing with n rows is ever written.
#pragma once

#include "lanes.hpp"
#include "passes.hpp"

namespace HD_ISA {

using henderson::Codes;
using henderson::Index;
using henderson::Rows;
using henderson::Table;
using henderson::triangle;

constexpr int TILE = 256;

// Columns of a tile one after the other, each TILE Index and zero beyond `rows`.
struct Tile {
    double* xy;  // (p + 1, TILE)
    double* z;   // (K, TILE)
    double* root_weights;
    int rows;
};

static inline void take(const Table& from, Index start, const Tile& tile, bool weighted,
                        double* to) {
    for (int c = 0; c < from.count; c++) {
        const double* source = from.data + start * from.row + c * from.column;
        double* column = to + c * TILE;
        if (from.row == 1)
            for (int i = 0; i < tile.rows; i++) column[i] = source[i];
        else
            for (int i = 0; i < tile.rows; i++) column[i] = source[i * from.row];
        if (weighted)
            for (int i = 0; i < tile.rows; i++) column[i] *= tile.root_weights[i];
        for (int i = tile.rows; i < TILE; i++) column[i] = 0.0;
    }
}

// columns (count, TILE) times an upper triangular (count, count) matrix, in place.
static inline void times_upper(double* columns, int count, const double* upper) {
    for (int c = count - 1; c >= 0; c--) {
        double* to = columns + c * TILE;
        const double own = upper[c * count + c];
        for (int i = 0; i < TILE; i++) to[i] *= own;
        for (int d = 0; d < c; d++) {
            const double* from = columns + d * TILE;
            const double factor = upper[d * count + c];
            if (factor != 0.0)
                for (int i = 0; i < TILE; i++) to[i] += factor * from[i];
        }
    }
}

static inline void fill(const Rows& rows, Index start, Tile& tile) {
    const int p = rows.x.count;
    tile.rows = static_cast<int>(rows.n - start < TILE ? rows.n - start : TILE);
    if (rows.weights)
        for (int i = 0; i < tile.rows; i++)
            tile.root_weights[i] = std::sqrt(rows.weights[(start + i) * rows.weight_stride]);
    take(rows.x, start, tile, rows.weights, tile.xy);
    take(rows.y, start, tile, rows.weights, tile.xy + p * TILE);
    take(rows.z, start, tile, rows.weights, tile.z);
    if (rows.to_q) times_upper(tile.xy, p, rows.to_q);
    if (rows.to_z) times_upper(tile.z, rows.z.count, rows.to_z);
    if (!rows.coef) return;
    double* y = tile.xy + p * TILE;
    for (int c = 0; c < p; c++) {
        const double* q = tile.xy + c * TILE;
        for (int i = 0; i < TILE; i++) y[i] -= rows.coef[c] * q[i];
    }
    for (int i = 0; i < TILE; i++) y[i] /= rows.y_scale;
}

static inline double dot(const double* a, const double* b) {
    Lanes one = all(0.0), two = all(0.0);
    for (int i = 0; i < TILE; i += 2 * WIDTH) {
        one += load(a + i) * load(b + i);
        two += load(a + i + WIDTH) * load(b + i + WIDTH);
    }
    return total(one + two);
}

static inline void add_gram(const double* columns, int count, double* to) {
    for (int a = 0, t = 0; a < count; a++)
        for (int c = 0; c <= a; c++, t++) to[t] += dot(columns + a * TILE, columns + c * TILE);
}

static inline Tile tile_in(double* work, const Rows& rows) {
    const int p = rows.x.count;
    Tile tile;
    tile.xy = work;
    tile.z = work + (p + 1) * TILE;
    tile.root_weights = tile.z + rows.z.count * TILE;
    tile.rows = 0;
    return tile;
}

static void gram(const Rows& rows, double* xy, double* zz, double* work) {
    Tile tile = tile_in(work, rows);
    for (Index start = 0; start < rows.n; start += TILE) {
        fill(rows, start, tile);
        if (xy) add_gram(tile.xy, rows.x.count + 1, xy);
        if (zz) add_gram(tile.z, rows.z.count, zz);
    }
}

static inline std::int64_t code_at(const Codes& codes, Index row) {
    if (codes.wide) return static_cast<const std::int64_t*>(codes.data)[row * codes.stride];
    return static_cast<const std::int32_t*>(codes.data)[row * codes.stride];
}

// K effects and q columns of [q r], both known at compile time where FIXED is not 0.
template <int FIXED_K, int FIXED_Q>
static inline void scatter(const Tile& tile, const std::int64_t* codes, double* records, int size,
                           int columns) {
    const int k = FIXED_K ? FIXED_K : size, q = FIXED_Q ? FIXED_Q : columns;
    const std::int64_t length = triangle(k) + k * q;
    constexpr int AHEAD = 16;
    for (int i = 0; i < tile.rows; i++) {
        const int next = i + AHEAD < tile.rows ? i + AHEAD : tile.rows - 1;
        const char* coming = reinterpret_cast<const char*>(records + codes[next] * length);
#if defined(__GNUC__)
        __builtin_prefetch(coming, 1);
        if (length > 4) __builtin_prefetch(coming + 64, 1);
#else
        (void)coming;
#endif
        double* record = records + codes[i] * length;
        for (int a = 0; a < k; a++) {
            const double z = tile.z[a * TILE + i];
            for (int b = 0; b <= a; b++) *record++ += z * tile.z[b * TILE + i];
        }
        for (int a = 0; a < k; a++) {
            const double z = tile.z[a * TILE + i];
            for (int c = 0; c < q; c++) *record++ += z * tile.xy[c * TILE + i];
        }
    }
}

static bool levels(const Rows& rows, const Codes& codes, Index n_levels, double* records,
                   double* xy, double* work) {
    const int q = rows.x.count + 1, k = rows.z.count;
    Tile tile = tile_in(work, rows);
    std::int64_t taken[TILE];
    for (Index start = 0; start < rows.n; start += TILE) {
        fill(rows, start, tile);
        bool inside = true;
        for (int i = 0; i < tile.rows; i++) {
            taken[i] = code_at(codes, start + i);
            inside &= taken[i] >= 0 && taken[i] < n_levels;
        }
        if (!inside) return false;
        if (xy) add_gram(tile.xy, q, xy);
        if (k == 1 && q == 2)
            scatter<1, 2>(tile, taken, records, k, q);
        else if (k == 2 && q == 3)
            scatter<2, 3>(tile, taken, records, k, q);
        else
            scatter<0, 0>(tile, taken, records, k, q);
    }
    return true;
}

}  // namespace HD_ISA
