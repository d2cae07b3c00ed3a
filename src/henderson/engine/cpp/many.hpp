// Many responses on one design: what the responses share is made once, and each is fitted on its
// own, by as many threads as one likes; the numbers do not depend on how many.
#pragma once

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "fit.hpp"
#include "rows.hpp"
#include "satterthwaite.hpp"

namespace henderson {

// Rows in standard coordinates: x with X'X = n I, z, and per row its level.
struct Design {
    Table x, z;
    const std::int64_t* codes;
    const double* root_weights;  // or null: what each response is multiplied by
};

// Where the results of response r go: entry r of each array. In standard coordinates.
struct ManyOut {
    int* status;
    int* evaluations;
    bool* converged;
    double* value;
    double* y_scale;
    double* s2;
    double* coef;       // (p,): of the response on x
    double* beta;       // (p,): of what is left, in units of y_scale
    double* r_inverse;  // (p, p)
    double* m;          // (K, K)
    double* df;         // one per contrast
};

class Many {
  public:
    Many(const Model& model, const Design& design, const Rules& rules)
        : model_(model),
          n_(model.n),
          p_(model.p),
          k_(model.size),
          rules_(rules),
          codes_(design.codes, design.codes + n_),
          x_(static_cast<std::size_t>(n_) * p_),
          z_(static_cast<std::size_t>(n_) * k_),
          root_(model.n_levels * k_ * k_),
          dense_(model.n_levels * k_ * (p_ + 1), 0.0),
          within_((p_ + 1) * (p_ + 1), 0.0),
          root_weights_(design.root_weights) {
        for (Index i = 0; i < n_; i++) {
            if (codes_[i] < 0 || codes_[i] >= model.n_levels)
                throw std::out_of_range("a grouping code is outside 0..n_levels-1");
            for (int c = 0; c < p_; c++)
                x_[c * n_ + i] = design.x.data[i * design.x.row + c * design.x.column];
            for (int c = 0; c < k_; c++)
                z_[i * k_ + c] = design.z.data[i * design.z.row + c * design.z.column];
        }
        reduce_design();
        shared_.reset(new Doubles(pack_shared(model, root_.data(), dense_.data())));
    }

    // Fit the columns of y (n, m). start: M (K, K) or null; contrasts (count, p).
    void run(const Table& y, const double* start, const double* contrasts, int count, int threads,
             const ManyOut& out) const {
        std::atomic<Index> next{0};
        std::exception_ptr failure;
        std::mutex guard;
        const Index step = 16;
        auto work = [&] {
            try {
                Worker worker(*this);
                for (Index from = next.fetch_add(step); from < y.count; from = next.fetch_add(step))
                    for (Index r = from; r < std::min<Index>(from + step, y.count); r++)
                        worker.one(y, r, start, contrasts, count, out);
            } catch (...) {
                const std::lock_guard<std::mutex> lock(guard);
                failure = std::current_exception();
            }
        };
        std::vector<std::thread> others;
        for (int t = 1; t < threads; t++) others.emplace_back(work);
        work();
        for (std::thread& other : others) other.join();
        if (failure) std::rethrow_exception(failure);
    }

  private:
    // C, T_x and the p x p part of what is orthogonal to Z.
    void reduce_design() {
        const int q = p_ + 1, pairs = triangle(k_);
        order_.resize(model_.n_levels * k_);
        std::vector<double> a(model_.n_levels * pairs, 0.0), b(model_.n_levels * k_ * q, 0.0);
        for (Index i = 0; i < n_; i++) {
            const double* z = z_.data() + i * k_;
            double* to_a = a.data() + codes_[i] * pairs;
            double* to_b = b.data() + codes_[i] * k_ * q;
            for (int r = 0; r < k_; r++) {
                for (int s = 0; s <= r; s++) *to_a++ += z[r] * z[s];
                for (int c = 0; c < p_; c++) to_b[r * q + c] += z[r] * x_[c * n_ + i];
            }
        }
        for (int c = 0; c < p_; c++) within_[c * q + c] = static_cast<double>(n_);
        for (Index j = 0; j < model_.n_levels; j++) {
            double* t = dense_.data() + j * k_ * q;
            level_root(a.data() + j * pairs, b.data() + j * k_ * q, k_, q,
                       root_.data() + j * k_ * k_, t, order_.data() + j * k_);
            for (int i = 0; i < k_; i++)
                for (int c = 0; c < p_; c++)
                    for (int d = 0; d < p_; d++) within_[c * q + d] -= t[i * q + c] * t[i * q + d];
        }
    }

    static double dot(const double* a, const double* b, Index n) {
        double sums[4] = {0.0, 0.0, 0.0, 0.0};
        Index i = 0;
        for (; i + 4 <= n; i += 4)
            for (int l = 0; l < 4; l++) sums[l] += a[i + l] * b[i + l];
        for (; i < n; i++) sums[0] += a[i] * b[i];
        return (sums[0] + sums[1]) + (sums[2] + sums[3]);
    }

    // The scratch memory of one thread.
    class Worker {
      public:
        explicit Worker(const Many& own)
            : many_(own),
              factor_(own.model_, own.shared_->get()),
              r_(own.n_),
              moved_(own.model_.n_levels * own.k_),
              within_(own.within_),
              y_(static_cast<std::size_t>(block_count(own.model_)) * own.k_ * passes().width) {
            std::fill(y_.get(), y_.get() + block_count(own.model_) * own.k_ * passes().width, 0.0);
        }

        void one(const Table& y, Index r, const double* start, const double* contrasts, int count,
                 const ManyOut& out) {
            const int p = many_.p_, k = many_.k_;
            for (int i = 0; i < p * p; i++) out.r_inverse[r * p * p + i] = NAN;
            for (int i = 0; i < p; i++) out.beta[r * p + i] = NAN;
            for (int i = 0; i < k * k; i++) out.m[r * k * k + i] = NAN;
            for (int i = 0; i < count; i++) out.df[r * count + i] = NAN;
            out.value[r] = out.s2[r] = out.y_scale[r] = NAN;
            out.converged[r] = false;
            out.evaluations[r] = 0;
            const Status taken = take(y, r, out.coef + r * p, out.y_scale[r]);
            out.status[r] = static_cast<int>(taken);
            if (taken != Status::fine) return;
            Fitted fitted = fit(factor_, start, many_.rules_);
            out.status[r] = static_cast<int>(fitted.status);
            if (fitted.status != Status::fine) return;
            Point& at = fitted.at;
            out.value[r] = at.value.value;
            out.s2[r] = at.value.s2;
            out.converged[r] = fitted.converged;
            out.evaluations[r] = fitted.evaluations;
            std::copy(at.value.beta.begin(), at.value.beta.end(), out.beta + r * p);
            std::copy(at.value.r_inverse.begin(), at.value.r_inverse.end(),
                      out.r_inverse + r * p * p);
            std::copy(at.m.begin(), at.m.end(), out.m + r * k * k);
            if (!count) return;
            factor_.differentiate(at.m.data(), at.value, at.derivatives, true);
            satterthwaite(many_.model_, at, many_.rules_.small, contrasts, count,
                          out.df + r * count);
        }

      private:
        // The response, less its regression on x, with mean square one.
        Status take(const Table& y, Index r, double* coef, double& scale) {
            const Index n = many_.n_;
            const int p = many_.p_;
            const double* from = y.data + r * y.column;
            for (Index i = 0; i < n; i++) r_[i] = from[i * y.row];
            if (many_.root_weights_)
                for (Index i = 0; i < n; i++) r_[i] *= many_.root_weights_[i];
            const double whole = dot(r_.data(), r_.data(), n);
            std::fill(coef, coef + p, 0.0);
            if (!std::isfinite(whole)) return Status::not_finite;
            for (int round = 0; round < 2; round++)
                for (int c = 0; c < p; c++) {
                    const double* x = many_.x_.data() + c * n;
                    const double part = dot(x, r_.data(), n) / static_cast<double>(n);
                    coef[c] += part;
                    for (Index i = 0; i < n; i++) r_[i] -= part * x[i];
                }
            const double left = dot(r_.data(), r_.data(), n);
            scale = std::sqrt(left / static_cast<double>(n));
            if (!(std::sqrt(left) > 1e-14 * std::sqrt(whole))) return Status::explained;
            reduce_response(1.0 / scale);
            return Status::fine;
        }

        void reduce_response(double factor) {
            const int p = many_.p_, k = many_.k_, q = p + 1, width = passes().width;
            const Index levels = many_.model_.n_levels;
            std::fill(moved_.begin(), moved_.end(), 0.0);
            for (Index i = 0; i < many_.n_; i++)
                for (int c = 0; c < k; c++)
                    moved_[many_.codes_[i] * k + c] += many_.z_[i * k + c] * r_[i];
            for (int c = 0; c < p; c++) within_[c * q + p] = 0.0;
            double square = static_cast<double>(many_.n_);
            for (Index j = 0; j < levels; j++) {
                const double* root = many_.root_.data() + j * k * k;
                const double* t_x = many_.dense_.data() + j * k * q;
                const double* z_y = moved_.data() + j * k;
                double t[MAX_SIZE];
                for (int i = 0; i < k; i++) {
                    const int at = many_.order_[j * k + i];
                    double sum = z_y[at] * factor;
                    for (int l = 0; l < i; l++) sum -= root[at * k + l] * t[l];
                    t[i] = root[at * k + i] > 0.0 ? sum / root[at * k + i] : 0.0;
                    square -= t[i] * t[i];
                    for (int c = 0; c < p; c++) within_[c * q + p] -= t_x[i * q + c] * t[i];
                    y_[((j / width) * k + i) * width + j % width] = t[i];
                }
            }
            for (int c = 0; c < p; c++) within_[p * q + c] = within_[c * q + p];
            within_[p * q + p] = square;
            factor_.set_response(y_.get(), within_.data());
        }

        const Many& many_;
        OneFactor factor_;
        std::vector<double> r_, moved_, within_;
        Doubles y_;
    };

    const Model& model_;
    Index n_;
    int p_, k_;
    Rules rules_;
    std::vector<std::int64_t> codes_;
    std::vector<int> order_;  // rows of the pivots, (levels, K)
    std::vector<double> x_, z_, root_, dense_, within_;
    const double* root_weights_;
    std::unique_ptr<Doubles> shared_;
};

}  // namespace henderson
