// Arithmetic on big integers that are never changed in place, in cfrac's shape: every result is a fresh small block and
// nearly every one is dropped a few operations later.
#include <utility>

#include "workload.hpp"

using namespace workload;

namespace {

class integer {
  public:
    explicit integer(u64 small) : limbs_(make(small >> 32 != 0 ? 2 : 1)), count_(small >> 32 != 0 ? 2 : 1) {
        limbs_[0] = static_cast<std::uint32_t>(small);
        if (count_ == 2) limbs_[1] = static_cast<std::uint32_t>(small >> 32);
    }
    integer(const integer&) = delete;
    integer(integer&& other) noexcept : limbs_(std::exchange(other.limbs_, nullptr)), count_(other.count_) {}
    integer& operator=(integer&& other) noexcept {
        std::swap(limbs_, other.limbs_);
        std::swap(count_, other.count_);
        return *this;
    }
    integer& operator=(const integer&) = delete;
    ~integer() { std::free(limbs_); }

    friend integer operator*(const integer& a, const integer& b) {
        integer result(a.count_ + b.count_, uninitialised{});
        std::memset(result.limbs_, 0, result.count_ * sizeof(std::uint32_t));
        for (std::size_t i = 0; i < a.count_; i++) {
            u64 carry = 0;
            for (std::size_t j = 0; j < b.count_; j++) {
                u64 sum = u64{a.limbs_[i]} * b.limbs_[j] + result.limbs_[i + j] + carry;
                result.limbs_[i + j] = static_cast<std::uint32_t>(sum);
                carry = sum >> 32;
            }
            result.limbs_[i + b.count_] = static_cast<std::uint32_t>(carry);
        }
        result.trim();
        return result;
    }

    friend integer operator+(const integer& a, const integer& b) {
        const integer& longer = a.count_ >= b.count_ ? a : b;
        const integer& shorter = a.count_ >= b.count_ ? b : a;
        integer result(longer.count_ + 1, uninitialised{});
        u64 carry = 0;
        for (std::size_t i = 0; i < longer.count_; i++) {
            u64 sum = u64{longer.limbs_[i]} + (i < shorter.count_ ? shorter.limbs_[i] : 0) + carry;
            result.limbs_[i] = static_cast<std::uint32_t>(sum);
            carry = sum >> 32;
        }
        result.limbs_[longer.count_] = static_cast<std::uint32_t>(carry);
        result.trim();
        return result;
    }

    // Quotient and remainder by a small number, each a fresh integer.
    std::pair<integer, integer> divided_by(std::uint32_t divisor) const {
        integer quotient(count_, uninitialised{});
        u64 rest = 0;
        for (std::size_t i = count_; i-- > 0;) {
            u64 part = rest << 32 | limbs_[i];
            quotient.limbs_[i] = static_cast<std::uint32_t>(part / divisor);
            rest = part % divisor;
        }
        quotient.trim();
        return {std::move(quotient), integer(rest)};
    }

    std::size_t size() const { return count_; }
    std::uint32_t low() const { return limbs_[0]; }

  private:
    struct uninitialised {};
    integer(std::size_t count, uninitialised) : limbs_(make(count)), count_(count) {}

    static std::uint32_t* make(std::size_t count) {
        auto* limbs = static_cast<std::uint32_t*>(std::malloc(count * sizeof(std::uint32_t)));
        if (limbs == nullptr) std::abort();
        return limbs;
    }

    void trim() {
        while (count_ > 1 && limbs_[count_ - 1] == 0) count_--;
    }

    std::uint32_t* limbs_;
    std::size_t count_;
};

}  // namespace

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 steps = given.get("operations", 2000000);
    const std::size_t limit = given.get("limbs", 12);
    random_numbers numbers(17);
    integer x(3), y(numbers.next()), z(1);
    u64 sum = 0;
    for (u64 i = 0; i < steps; i++) {
        auto divisor = static_cast<std::uint32_t>(numbers.between(3, 60000));
        integer next = x * y + z;
        auto [quotient, rest] = next.divided_by(divisor);
        sum += rest.low();
        z = std::move(y);
        y = integer(numbers.next()) + rest;
        x = std::move(quotient);
        if (x.size() > limit) x = x.divided_by(divisor).second + integer(i);
    }
    report(steps, sum);
}
