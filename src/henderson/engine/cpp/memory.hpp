// Scratch memory aligned to the widest register.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace henderson {

class Doubles {
  public:
    explicit Doubles(std::size_t count) : raw_(new double[count + 8]), start_(raw_.get()) {
        while (reinterpret_cast<std::uintptr_t>(start_) % 64) start_++;
    }
    double* get() const { return start_; }
    double& operator[](std::size_t i) const { return start_[i]; }

  private:
    std::unique_ptr<double[]> raw_;
    double* start_;
};

}  // namespace henderson
