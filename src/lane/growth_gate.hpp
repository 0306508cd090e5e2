// Lets a few threads at a time make lanes; the others wait for their turn, up to a timeout.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <new>

#include "lane/ranked_mutex.hpp"

namespace lanes::detail {

class growth_gate {
  public:
    explicit growth_gate(unsigned places) : places_(places), free_(places) {}

    // Around a fork. In the child, no other thread is in the gate or waits for it.
    void lock_for_fork() { mutex_.lock_for_fork(); }
    void unlock_after_fork(bool in_child) {
        if (in_child) {
            free_ = places_;
            new (&changed_) std::condition_variable;  // the old one may count threads that are not here
        }
        mutex_.unlock_after_fork();
    }

    // A place in the gate as long as the object lives; none after `timeout`, which is cut at a year so that the clock
    // cannot overflow.
    class pass {
      public:
        pass(growth_gate& gate, std::chrono::milliseconds timeout) : gate_(gate) {
            std::lock_guard hold(gate.mutex_);
            constexpr std::chrono::milliseconds a_year = std::chrono::years(1);
            passed_ = gate.mutex_.wait_for(gate.changed_, std::min(timeout, a_year), [&] { return gate.free_ > 0; });
            if (passed_) --gate.free_;
        }
        ~pass() {
            if (!passed_) return;
            {
                std::lock_guard hold(gate_.mutex_);
                if (gate_.free_ < gate_.places_) ++gate_.free_;  // it may have been entered before a fork
            }
            gate_.changed_.notify_one();
        }
        pass(const pass&) = delete;
        explicit operator bool() const { return passed_; }

      private:
        growth_gate& gate_;
        bool passed_;
    };

  private:
    ranked_mutex mutex_{lock_rank::gate};
    std::condition_variable changed_;
    const unsigned places_;
    unsigned free_;
};

}  // namespace lanes::detail
