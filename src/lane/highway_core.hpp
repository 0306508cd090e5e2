// The state of a highway: its lanes by index, its limits, and the search for a lane with room.
//
// Lanes stay in the table, and their cores stay alive, until the highway is destroyed: so a thread that has read a core
// may use it, even if another thread disposes of the lane.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <vector>

#include "lane/growth_gate.hpp"
#include "lane/ranked_mutex.hpp"
#include "lane/shared_core.hpp"
#include "lanes/highway.hpp"
#include "lanes/stable_array.hpp"

namespace lanes::detail {

// The lane that the calling thread used last, on the highway that it used last. In static thread-local storage, so that
// access needs no call: two words a thread.
struct last_use {
    std::uint64_t highway;  // highway_core::number_; 0: none
    shared_core* lane;
};
extern constinit thread_local last_use last_use_of_this_thread [[gnu::tls_model("initial-exec")]];

class highway_core {
  public:
    highway_core(highway_options&&, storage_type, lane_maker, bool passthrough);
    ~highway_core();
    highway_core(const highway_core&) = delete;

    // Makes the first lanes; the caller destroys the highway if that fails.
    result<void> start() noexcept;

    struct refusal {
        bool asked = false;         // a limit's callback was called; once an allocation is enough
        bool quiet = false;         // and asked for an empty fragment
        std::exception_ptr thrown;  // what a callback threw
    };
    // failure{errc{}}, and `got` has the fragment; or why not.
    failure allocate(std::uint64_t bytes, std::uint64_t alignment, const effort& how, refusal& why,
                     fragment::parts& got) noexcept {
        shared_core* lane = last_used();
        if (lane != nullptr) [[likely]] {
            if (lane->allocate(bytes, alignment, tries_of(how), got) == errc{}) [[likely]]
                return {};
        }
        return search(bytes, alignment, how, lane, why, got);
    }

    // Null where there is none.
    shared_core* lane_at(std::size_t index) const noexcept {
        return index < lanes_.size() ? lanes_.peek(index) : nullptr;
    }
    std::size_t lanes_made() const noexcept { return lanes_made_.load(std::memory_order_acquire); }
    std::size_t lane_count() const noexcept { return totals_->not_disposed.load(std::memory_order_relaxed); }
    std::uint64_t bytes_held() const noexcept { return totals_->bytes_held.load(std::memory_order_relaxed); }
    bool disposed() const noexcept { return disposed_.load(std::memory_order_acquire); }
    storage_type type() const noexcept { return type_; }
    const highway_options& options() const noexcept { return options_; }

    // f(index, core) for each lane that is not disposed. Others may be adding and disposing lanes meanwhile.
    template <class F>
    void each_lane(F&& f) const {
        for (std::size_t i = 0; i < lanes_.size(); ++i) {
            shared_core* core = lanes_.peek(i);
            if (core != nullptr && !core->disposed()) f(i, *core);
        }
    }

    result<void> dispose_lane(std::size_t index) noexcept;
    result<void> reopen_lane(std::size_t index) noexcept;
    void dispose() noexcept;
    std::uint64_t trim() noexcept;

    // Around a fork.
    void lock_for_fork();
    void unlock_after_fork(bool in_child);

  private:
    // The slow path, when the lane `asked`, which this thread used last, has failed; null if there was none.
    failure search(std::uint64_t bytes, std::uint64_t alignment, const effort&, const shared_core* asked, refusal&,
                   fragment::parts& got) noexcept;
    // One look at so many lanes, from that index on.
    bool lap(std::size_t first, std::size_t lanes, std::uint64_t bytes, std::uint64_t alignment, unsigned tries,
             fragment::parts& got) noexcept;
    // Adds a lane with room for so much, unless another thread has added one since `seen` changes.
    result<void> grow(std::uint64_t bytes, std::uint64_t alignment, std::uint64_t seen, refusal&) noexcept;
    // Which limit forbids one lane more, of so many bytes at least; errc{} if none does now.
    errc limit_reached(std::uint64_t least) const noexcept;
    // Makes the lane with that index, of `capacity` bytes or of what max_bytes leaves, but not of fewer than `least`.
    result<void> add_lane(std::uint64_t capacity, std::uint64_t least, std::size_t index) noexcept;
    result<std::uint64_t> promise(std::uint64_t capacity, std::uint64_t least) noexcept;
    void break_promise(std::uint64_t capacity) noexcept;
    void put_lane(std::size_t index, shared_core*) noexcept;
    // The error to report: for a limit, after its callback; others unchanged.
    errc refuse(errc, refusal&) const noexcept;
    std::uint64_t bytes_left(std::uint64_t held) const noexcept {
        return options_.max_bytes - std::min(held, options_.max_bytes);
    }
    unsigned tries_of(const effort& how) const noexcept { return how.tries != 0 ? how.tries : options_.lane_tries; }
    result<std::size_t> new_index() noexcept;
    void give_index_back(std::size_t index) noexcept;

    // Hints for threads that have used another highway since; several threads may share one.
    static constexpr std::size_t slots = 16;
    // The calling thread's. Control blocks of threads lie a stack apart, so a multiplication has to bring their high
    // bits into play.
    std::atomic<shared_core*>& shared_slot() noexcept {
        return slots_[thread_identity() * 0x9e3779b97f4a7c15 >> 32 & (slots - 1)];
    }
    shared_core* last_used() noexcept {
        last_use& last = last_use_of_this_thread;
        if (last.highway != number_) [[unlikely]]
            last = {number_, shared_slot().load(std::memory_order_acquire)};
        return last.lane;
    }

    const std::uint64_t number_;  // of all highways that there ever were
    const highway_options options_;
    const storage_type type_;
    const lane_maker make_;
    const bool passthrough_;
    const std::uint64_t max_alignment_;
    const std::shared_ptr<lane_totals> totals_;  // with the lanes that are about to be made
    stable_array<shared_core*> lanes_;           // null: an index that waits for its lane
    growth_gate gate_;
    // Stored with release when lanes are added or ended, loaded with acquire in the search for room: a thread that sees
    // the number or the pointer sees the lane.
    std::atomic<std::uint64_t> changes_{0};   // lanes added so far
    std::atomic<std::size_t> lanes_made_{0};  // one past the last lane; written under mutex_
    std::atomic<bool> disposed_{false};
    std::array<std::atomic<shared_core*>, slots> slots_{};

    // Trims that began, and those that ended; read in the other order, so that one under way is never missed.
    struct trims {
        std::uint64_t ended, begun;
    };
    trims trims_so_far() const noexcept {
        std::uint64_t ended = trims_ended_.load(std::memory_order_seq_cst);
        return {ended, trims_begun_.load(std::memory_order_seq_cst)};
    }
    bool trims_between(const trims& before) const noexcept {
        return before.begun != before.ended || trims_begun_.load(std::memory_order_seq_cst) != before.begun;
    }
    static constexpr unsigned max_trims_waited_for =
        20'000;  // looks, two seconds: longer only if threads trim all the time
    std::atomic<std::uint64_t> trims_begun_{0}, trims_ended_{0};

    ranked_mutex reopening_{lock_rank::reopening};
    ranked_mutex mutex_{lock_rank::highway};  // of what follows, and of disposing and replacing lanes
    std::vector<std::size_t> free_indices_;   // whose lanes could not be made
};

}  // namespace lanes::detail
