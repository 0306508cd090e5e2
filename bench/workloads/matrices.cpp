// Numeric code with temporaries: matrices of 2 to 16 KiB, aligned to cache lines, made by each operation of an
// expression and dropped after the next one.
#include <new>
#include <utility>

#include "workload.hpp"

using namespace workload;

namespace {

constexpr std::align_val_t line{64};

class matrix {
  public:
    explicit matrix(std::size_t side) : side_(side), cells_(static_cast<float*>(::operator new(bytes(), line))) {}
    matrix(std::size_t side, float start) : matrix(side) {
        for (std::size_t i = 0; i < side_ * side_; i++) cells_[i] = start + static_cast<float>(i % 7);
    }
    matrix(matrix&& other) noexcept : side_(other.side_), cells_(std::exchange(other.cells_, nullptr)) {}
    matrix& operator=(matrix&& other) noexcept {
        std::swap(side_, other.side_);
        std::swap(cells_, other.cells_);
        return *this;
    }
    matrix(const matrix&) = delete;
    matrix& operator=(const matrix&) = delete;
    ~matrix() {
        if (cells_ != nullptr) ::operator delete(cells_, bytes(), line);
    }

    friend matrix operator+(const matrix& a, const matrix& b) {
        matrix made(a.side_);
        for (std::size_t i = 0; i < a.side_ * a.side_; i++) made.cells_[i] = a.cells_[i] + b.cells_[i];
        return made;
    }
    matrix scaled(float by) const {
        matrix made(side_);
        for (std::size_t i = 0; i < side_ * side_; i++) made.cells_[i] = cells_[i] * by;
        return made;
    }
    float corner() const { return cells_[side_ * side_ - 1]; }

  private:
    std::size_t bytes() const { return side_ * side_ * sizeof(float); }

    std::size_t side_;
    float* cells_;
};

}  // namespace

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 steps = given.get("operations", 60000);
    const u64 least = given.get("least", 24), most = given.get("most", 64);  // side lengths
    random_numbers numbers(79);
    u64 sum = 0;
    for (u64 i = 0; i < steps; i++) {
        std::size_t side = numbers.between(least, most);
        matrix a(side, 1), b(side, static_cast<float>(i % 100));
        matrix mean = (a + b).scaled(0.5F);
        matrix spread = (a + mean.scaled(-1)) + (b + mean.scaled(-1));
        sum += static_cast<u64>(mean.corner() * 2) + static_cast<u64>(spread.corner() + 1000);
    }
    report(steps, sum);
}
