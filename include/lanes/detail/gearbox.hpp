// Which operations may run now, and how to wait until none of the old kind runs any more. Not for users.
//
// A gear is a number below 4; an operation names the gears that allow it as a set of bits. Entering counts the
// operation in and then looks at the gear; shifting writes "no gear" first and then waits until every count has been
// zero once:
//
//     operation:  in_flight += 1  |  look at gear      (both seq_cst: at least one sees the other, so no operation
//     shift:      gear = shifting |  look at in_flight   of the old gear runs when the new one is written)
//
// The counts are spread over stripes, a cache line each, so that threads which share no data do not share a count. The
// same word carries how many items the operations of that stripe have put in less taken out; both change in the
// addition that counts the operation out, so it costs nothing.
//
//     stripe:  | items, signed, 40 bits | operations in flight, 24 bits |
//
// 24 bits count more threads than Linux allows; the sum of the items is exact modulo 2^40, and a table has fewer cells.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>

#include "lanes/detail/thread_identity.hpp"
#include "lanes/error.hpp"

namespace lanes::detail {

class gearbox {
  public:
    using gear_number = std::uint8_t;
    static constexpr std::chrono::nanoseconds for_ever = std::chrono::nanoseconds::max();

    explicit gearbox(gear_number first) noexcept : gear_(first) {}

    // The gear; during a shift, the one that is being left.
    gear_number gear() const noexcept {
        return static_cast<gear_number>(gear_.load(std::memory_order_acquire) & gear_mask);
    }

    // Items put in less items taken out, of all operations that have ended; those under way may be included.
    std::uint64_t items() const noexcept {
        std::uint64_t sum = 0;
        for (const stripe& s : stripes_) sum += s.word.load(std::memory_order_acquire) >> in_flight_bits;
        auto total = static_cast<std::int64_t>(sum << in_flight_bits) >> in_flight_bits;
        return total < 0 ? 0 : static_cast<std::uint64_t>(total);  // a take was seen and its append was not
    }

    // An operation under way, as long as the object lives; false if the gear does not allow it.
    class operation {
      public:
        // Reads the gear first without being counted, so that refused calls, however many, never delay a shift.
        operation(gearbox& box, unsigned gears) noexcept {
            if (!allows(gears, box.gear_.load(std::memory_order_relaxed))) return;
            word_ = &box.stripe_of_this_thread();
            word_->fetch_add(1, std::memory_order_seq_cst);                       // pairs with move_to's look
            allowed_ = allows(gears, box.gear_.load(std::memory_order_seq_cst));  // pairs with move_to's stores
        }
        operation(const operation&) = delete;
        operation& operator=(const operation&) = delete;
        // Release: pairs with move_to, which sees the operation's writes once it sees the lower count.
        ~operation() {
            if (word_ == nullptr) return;
            word_->fetch_add((static_cast<std::uint64_t>(items_) << in_flight_bits) - 1, std::memory_order_release);
        }

        explicit operator bool() const noexcept { return allowed_; }
        void add_items(std::int64_t n) noexcept { items_ += n; }

      private:
        static bool allows(unsigned gears, gear_number g) noexcept { return (gears >> g & 1) != 0; }

        std::atomic<std::uint64_t>* word_ = nullptr;
        std::int64_t items_ = 0;
        bool allowed_ = false;
    };

    // The result of a shift.
    struct shifted {
        errc error{};
        gear_number from = 0;       // the gear before
        std::exception_ptr thrown;  // with callback_failed
    };

    // Excludes other shifts; waits for the operations in flight; shifts; calls on_shift(from, to) if the gear changes,
    // then action(); shifts back if `come_back` is set or one of them threw. `timeout` limits the waiting up to the
    // action. Errors: wrong_gear (called from an action), gear_timeout (nothing has changed), callback_failed.
    template <class OnShift, class Action>
    shifted shift(gear_number to, bool come_back, std::chrono::nanoseconds timeout, OnShift&& on_shift,
                  Action&& action) noexcept {
        shifted done;
        std::uintptr_t self = thread_identity();
        if (shifter_.load(std::memory_order_relaxed) == self)
            return {errc::wrong_gear, gear(), {}};  // only we write us
        deadline limit(timeout);
        if (!limit.wait([this] { return gate_.try_lock(); })) return {errc::gear_timeout, gear(), {}};
        std::lock_guard held(gate_, std::adopt_lock);
        shifter_.store(self, std::memory_order_relaxed);
        done.from = gear();
        const bool moves = to != done.from;
        if (moves && !move_to(to, limit)) {
            done.error = errc::gear_timeout;
        } else {
            try {
                if (moves) on_shift(done.from, to);
                action();
            } catch (...) {
                done.error = errc::callback_failed;
                done.thrown = std::current_exception();
            }
            if (moves && (come_back || done.error != errc{})) {
                move_to(done.from, deadline(for_ever));
                try {
                    if (done.error == errc{}) on_shift(to, done.from);
                } catch (...) {
                    done.error = errc::callback_failed;
                    done.thrown = std::current_exception();
                }
            }
        }
        shifter_.store(0, std::memory_order_relaxed);
        return done;
    }

  private:
    static constexpr unsigned in_flight_bits = 24;
    static constexpr std::uint64_t in_flight_mask = (std::uint64_t{1} << in_flight_bits) - 1;
    static constexpr gear_number gear_mask = 3, shifting = 4;  // a set of gears has no bit for a number from 4 on
    static constexpr unsigned stripe_bits = 3;                 // a guess: 512 bytes an array

    struct alignas(64) stripe {
        std::atomic<std::uint64_t> word{0};
    };

    class deadline {
      public:
        explicit deadline(std::chrono::nanoseconds timeout) noexcept {
            auto now = std::chrono::steady_clock::now();
            limited_ = timeout < std::chrono::steady_clock::time_point::max() - now;
            if (limited_) at_ = now + timeout;
        }
        // Waits until done() or the deadline; checks at least once. Polling, because operations last microseconds and a
        // wake-up would cost every operation a check.
        template <class Done>
        bool wait(Done&& done) const {
            for (unsigned looks = 1; !done(); ++looks) {
                if (limited_ && std::chrono::steady_clock::now() >= at_) return false;
                if (looks < 64)
                    std::this_thread::yield();
                else
                    std::this_thread::sleep_for(std::chrono::microseconds(50));
            }
            return true;
        }

      private:
        std::chrono::steady_clock::time_point at_{};
        bool limited_;
    };

    // Changes the gear once nothing is in flight; at the deadline, restores the present gear and returns false.
    bool move_to(gear_number to, const deadline& limit) noexcept {
        gear_number from = gear();
        gear_.store(static_cast<gear_number>(from | shifting),
                    std::memory_order_seq_cst);  // pairs with operation's look at the gear
        for (stripe& s : stripes_) {
            // Seq_cst pairs with operation's addition, acquire (in it) with its end.
            bool drained = limit.wait([&] { return (s.word.load(std::memory_order_seq_cst) & in_flight_mask) == 0; });
            if (drained) continue;
            gear_.store(from, std::memory_order_seq_cst);
            return false;
        }
        gear_.store(to, std::memory_order_seq_cst);
        return true;
    }

    std::atomic<std::uint64_t>& stripe_of_this_thread() noexcept {
        std::uint64_t mixed = thread_identity() * 0x9e3779b97f4a7c15;
        return stripes_[mixed >> (64 - stripe_bits)].word;
    }

    std::atomic<gear_number> gear_;
    std::atomic<std::uintptr_t> shifter_{0};  // the thread in the gate
    std::mutex gate_;                         // one shift at a time. Rank: before a segment_table's lock
    std::array<stripe, std::size_t{1} << stripe_bits> stripes_{};
};

}  // namespace lanes::detail
