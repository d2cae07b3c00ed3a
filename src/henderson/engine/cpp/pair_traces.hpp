// Sums over blocks B (rows, columns) of the products of their entries, from which the traces
// tr(E_a B E_b B') follow for all symmetric E_a (rows, rows) and E_b (columns, columns).
#pragma once

#include <cstddef>
#include <vector>

namespace henderson {

class PairTraces {
  public:
    PairTraces(int rows, int columns)
        : rows_(rows), columns_(columns), sums_(square(), 0.0), entries_(rows * columns) {}

    int rows() const { return rows_; }

    // Add the block whose entry (i, j) is at from[i row + j column].
    void add(const double* from, std::size_t row, std::size_t column) {
        const int size = rows_ * columns_;
        for (int i = 0; i < rows_; i++)
            for (int j = 0; j < columns_; j++) entries_[i * columns_ + j] = from[i * row + j * column];
        for (int x = 0; x < size; x++) {
            const double scale = entries_[x];
            double* out = sums_.data() + x * size;
            for (int y = 0; y < size; y++) out[y] += scale * entries_[y];
        }
    }

    // tr(E_a B E_b B') summed, E_a the unit direction (i, j), E_b (k, l).
    double trace(int i, int j, int k, int l) const {
        double sum = product(i, k, j, l);
        if (i != j) sum += product(j, k, i, l);
        if (k != l) sum += product(i, l, j, k);
        if (i != j && k != l) sum += product(j, l, i, k);
        return sum;
    }

  private:
    std::size_t square() const {
        const std::size_t size = static_cast<std::size_t>(rows_) * columns_;
        return size * size;
    }
    double product(int i, int k, int j, int l) const {
        return sums_[(i * columns_ + k) * (rows_ * columns_) + j * columns_ + l];
    }

    int rows_, columns_;
    std::vector<double> sums_, entries_;
};

}  // namespace henderson
