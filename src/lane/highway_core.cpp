// Finding room on a highway, adding lanes, and ending them.
#include "lane/highway_core.hpp"

#include <algorithm>
#include <new>
#include <thread>
#include <utility>

#include "lane/highway_list.hpp"

namespace lanes::detail {
namespace {

using clock = std::chrono::steady_clock;

// That much later, or the end of time.
clock::time_point after(std::chrono::nanoseconds wait) noexcept {
    clock::time_point now = clock::now();
    return wait < clock::time_point::max() - now ? now + wait : clock::time_point::max();
}

bool is_limit(errc e) noexcept {
    return e == errc::max_lanes_reached || e == errc::max_bytes_reached || e == errc::growth_timeout ||
           e == errc::out_of_memory || e == errc::disk_full;
}

bool valid(const highway_options& o) noexcept {
    auto capacity_is_valid = [](std::uint64_t n) {
        return n >= highway_limits::min_lane_capacity && n <= highway_limits::max_lane_capacity;
    };
    return capacity_is_valid(o.default_lane_capacity) && std::ranges::all_of(o.lanes, capacity_is_valid) &&
           o.laps_before_new_lane >= 1 && o.lane_tries >= 1 && o.concurrent_new_lanes >= 1 &&
           o.new_lane_timeout.count() >= 0 && o.max_lanes >= 1 && o.max_lanes <= highway_limits::max_lanes &&
           o.max_bytes >= 1 && o.max_bytes <= highway_limits::max_bytes;
}

std::uint64_t next_number() noexcept {
    static std::atomic<std::uint64_t> last{0};
    return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace

constinit thread_local last_use last_use_of_this_thread{0, nullptr};

highway_core::highway_core(highway_options&& options, storage_type type, lane_maker make, bool passthrough)
    : number_(next_number()),
      options_(std::move(options)),
      type_(type),
      make_(std::move(make)),
      passthrough_(passthrough),
      max_alignment_(type == storage_type::file || type == storage_type::memfd ? max_alignment_between_processes
                                                                               : max_alignment),
      totals_(std::make_shared<lane_totals>()),
      lanes_(stable_array_options{}),
      gate_(options_.concurrent_new_lanes) {}

highway_core::~highway_core() {
    dispose();
    for (std::size_t i = 0; i < lanes_.size(); ++i) {
        for (shared_core* core = lanes_.peek(i); core != nullptr;) {
            shared_core* before = core->replaced;
            core->let_go();
            core = before;
        }
    }
}

result<void> highway_core::start() noexcept {
    if (!valid(options_)) return errc::bad_option;
    for (std::uint64_t capacity : options_.lanes) {
        result<std::size_t> index = new_index();
        if (!index) return index.error();
        if (result<void> made = add_lane(capacity, capacity, *index); !made) {
            each_lane([](std::size_t, shared_core& lane) { lane.holder()->unmake(); });
            return made;
        }
    }
    // Threads start on different lanes if there are enough.
    for (std::size_t i = 0; i < slots && !options_.lanes.empty(); ++i) slots_[i] = lane_at(i % options_.lanes.size());
    return {};
}

failure highway_core::search(std::uint64_t bytes, std::uint64_t alignment, const effort& how, const shared_core* asked,
                             refusal& why, fragment::parts& got) noexcept {
    if (errc e = check_request(bytes, alignment, highway_limits::max_lane_capacity); e != errc{}) return {e};
    if (alignment > max_alignment_) return {errc::bad_alignment};
    if (disposed()) return {errc::highway_disposed};
    if (passthrough_) {
        result<slot> made = slot::try_make(bytes, alignment);
        if (made) got = (*std::move(made)).into_fragment().detach();
        return made.why();
    }
    // Whether waiting cannot help.
    if (bytes > options_.max_bytes) return {refuse(errc::max_bytes_reached, why)};
    unsigned tries = tries_of(how);
    clock::time_point give_up = how.wait.count() > 0 ? after(how.wait) : clock::time_point{};
    std::chrono::microseconds pause{50};
    unsigned trimmed = 0;
    while (true) {
        if (disposed()) return {errc::highway_disposed};
        std::uint64_t seen = changes_.load(std::memory_order_acquire);
        trims before = trims_so_far();
        std::size_t first = asked != nullptr ? asked->index + 1 : 0, lanes = lanes_.size();
        for (unsigned i = 0; i < options_.laps_before_new_lane; ++i) {
            // The lane that was tried before comes last, and the first lap skips it unless it was replaced.
            bool but_one = asked != nullptr && lane_at(asked->index) == asked;
            asked = nullptr;
            if (lap(first, but_one ? lanes - 1 : lanes, bytes, alignment, tries, got)) return {};
        }
        result<void> grown = grow(bytes, alignment, seen, why);
        if (grown) continue;
        if (!is_limit(grown.error())) return grown.why();
        // Before failing, all lanes once more: the lane tried first may have been reset since, and a lane that is being
        // trimmed looks full for a moment.
        if (lap(first, lanes_.size(), bytes, alignment, tries, got)) return {};
        if (trims_between(before) && ++trimmed < max_trims_waited_for) {
            // The trimming thread may have been descheduled.
            if (trimmed < 100)
                std::this_thread::yield();
            else
                std::this_thread::sleep_for(std::chrono::microseconds(100));
            continue;
        }
        if (clock::now() >= give_up) return grown.why();
        std::this_thread::sleep_for(pause);
        pause = std::min(pause * 2, std::chrono::microseconds(1000));
    }
}

bool highway_core::lap(std::size_t first, std::size_t lanes, std::uint64_t bytes, std::uint64_t alignment,
                       unsigned tries, fragment::parts& got) noexcept {
    std::size_t all = lanes_.size();
    for (std::size_t i = 0; i < lanes; ++i) {
        shared_core* core = lane_at((first + i) % all);
        if (core == nullptr || core->allocate(bytes, alignment, tries, got) != errc{}) continue;
        last_use_of_this_thread = {number_, core};
        shared_slot().store(core, std::memory_order_release);
        return true;
    }
    return false;
}

errc highway_core::refuse(errc e, refusal& why) const noexcept {
    const std::function<bool()>* callback = e == errc::max_lanes_reached   ? &options_.on_max_lanes
                                            : e == errc::max_bytes_reached ? &options_.on_max_bytes
                                                                           : nullptr;
    if (callback == nullptr || *callback == nullptr || why.asked) return e;
    try {
        why.asked = true;
        why.quiet = (*callback)();
        return e;
    } catch (...) {
        why.thrown = std::current_exception();
        return errc::callback_failed;
    }
}

result<void> highway_core::grow(std::uint64_t bytes, std::uint64_t alignment, std::uint64_t seen,
                                refusal& why) noexcept {
    growth_gate::pass pass(gate_, options_.new_lane_timeout);
    if (!pass) return errc::growth_timeout;
    if (disposed()) return errc::highway_disposed;
    if (changes_.load(std::memory_order_acquire) != seen) return {};  // another thread has made one

    // A lane's first byte is aligned to a granule at least.
    std::uint64_t least = bytes + (alignment > granule ? alignment : 0);
    // Before the callbacks: an allocation that waits for room comes here again and again.
    if (errc e = limit_reached(least); e != errc{}) return refuse(e, why);

    result<std::size_t> index = new_index();
    if (!index) return index.error();
    std::uint64_t capacity = 0;
    if (options_.next_capacity != nullptr) {
        try {
            capacity = options_.next_capacity(*index);
        } catch (...) {
            why.thrown = std::current_exception();
            give_index_back(*index);
            return errc::callback_failed;
        }
    }
    if (capacity == 0) capacity = options_.default_lane_capacity;
    result<void> added =
        add_lane(std::min(std::max(capacity, least), highway_limits::max_lane_capacity), least, *index);
    if (errc e = refuse(added.error(), why); e != added.error()) return e;
    return added;
}

errc highway_core::limit_reached(std::uint64_t least) const noexcept {
    if (totals_->not_disposed.load(std::memory_order_relaxed) >= options_.max_lanes) return errc::max_lanes_reached;
    return least <= bytes_left(totals_->bytes_held.load(std::memory_order_relaxed)) ? errc{} : errc::max_bytes_reached;
}

result<std::uint64_t> highway_core::promise(std::uint64_t capacity, std::uint64_t least) noexcept {
    // Before the lane is made, so that several threads together stay below the limits.
    std::uint32_t lanes = totals_->not_disposed.load(std::memory_order_relaxed);
    do {
        if (lanes >= options_.max_lanes) return errc::max_lanes_reached;
    } while (!totals_->not_disposed.compare_exchange_weak(lanes, lanes + 1, std::memory_order_relaxed));
    std::uint64_t held = totals_->bytes_held.load(std::memory_order_relaxed);
    std::uint64_t granted;
    do {
        std::uint64_t left = bytes_left(held);
        if (left < least) {
            totals_->not_disposed.fetch_sub(1, std::memory_order_relaxed);
            return errc::max_bytes_reached;
        }
        granted = std::min(capacity, left);
    } while (!totals_->bytes_held.compare_exchange_weak(held, held + granted, std::memory_order_relaxed));
    return granted;
}

void highway_core::break_promise(std::uint64_t capacity) noexcept {
    totals_->bytes_held.fetch_sub(capacity, std::memory_order_relaxed);
    totals_->not_disposed.fetch_sub(1, std::memory_order_relaxed);
}

result<void> highway_core::add_lane(std::uint64_t capacity, std::uint64_t least, std::size_t index) noexcept {
    result<std::uint64_t> promised = promise(capacity, least);
    result<shared_core*> made = promised.error();
    if (promised) {
        try {
            made = make_(*promised, index, lane_at(index) != nullptr);
        } catch (...) {
            made = errc::out_of_memory;  // options were copied
        }
        if (!made) break_promise(*promised);
    }
    if (!made) {
        give_index_back(index);
        return made.error() == errc::system_failure ? failure{errc::new_lane_failed, made.system_error()} : made.why();
    }
    (*made)->counted_in(totals_, *promised);
    put_lane(index, *made);
    return {};
}

void highway_core::put_lane(std::size_t index, shared_core* lane) noexcept {
    std::lock_guard hold(mutex_);
    if (disposed()) {
        lane->holder()->unmake();
        lane->dispose();
        lane->let_go();
        return;
    }
    lane->replaced = lanes_.peek(index);  // a thread may be about to ask it for room; it goes with the highway
    lane->index = index;
    lanes_.try_exchange(index, lane).error();
    if (index >= lanes_made()) lanes_made_.store(index + 1, std::memory_order_release);
    changes_.fetch_add(1, std::memory_order_release);
}

result<std::size_t> highway_core::new_index() noexcept {
    std::lock_guard hold(mutex_);
    if (!free_indices_.empty()) {
        auto lowest = std::ranges::min_element(free_indices_);
        std::size_t index = std::exchange(*lowest, free_indices_.back());
        free_indices_.pop_back();
        return index;
    }
    auto appended = lanes_.try_append(nullptr);
    if (!appended) return appended.error() == errc::out_of_memory ? errc::out_of_memory : errc::max_lanes_reached;
    return static_cast<std::size_t>(*appended);
}

void highway_core::give_index_back(std::size_t index) noexcept {
    std::lock_guard hold(mutex_);
    if (lanes_.peek(index) != nullptr) return;  // it was a disposed lane's
    try {
        free_indices_.push_back(index);
    } catch (const std::bad_alloc&) {
        // Then this index stays without a lane.
    }
}

result<void> highway_core::dispose_lane(std::size_t index) noexcept {
    std::lock_guard hold(mutex_);
    shared_core* core = lane_at(index);
    if (core == nullptr) return errc::no_such_lane;
    core->dispose();
    return {};
}

result<void> highway_core::reopen_lane(std::size_t index) noexcept {
    shared_core* core = lane_at(index);
    if (core == nullptr) return errc::no_such_lane;
    if (!core->disposed()) return core->set_closed(false);
    std::lock_guard one_at_a_time(reopening_);  // two new lanes for one place would take each other's file
    if (disposed()) return errc::highway_disposed;
    growth_gate::pass pass(gate_, options_.new_lane_timeout);
    if (!pass) return errc::growth_timeout;
    if (lane_at(index) != core) return {};  // another thread has put one there
    // What it was made for; its capacity may be more, in whole pages.
    return add_lane(core->counted_bytes(), core->counted_bytes(), index);
}

std::uint64_t highway_core::trim() noexcept {
    trims_begun_.fetch_add(1, std::memory_order_seq_cst);  // before a lane looks full
    std::uint64_t purged = 0;
    each_lane([&](std::size_t, shared_core& lane) { purged += lane.purge(); });
    trims_ended_.fetch_add(1, std::memory_order_seq_cst);
    return purged;
}

void highway_core::dispose() noexcept {
    disposed_.store(true, std::memory_order_release);
    std::lock_guard hold(mutex_);
    each_lane([](std::size_t, shared_core& core) { core.dispose(); });
}

void highway_core::lock_for_fork() {
    reopening_.lock_for_fork();
    gate_.lock_for_fork();
    mutex_.lock_for_fork();
}

void highway_core::unlock_after_fork(bool in_child) {
    mutex_.unlock_after_fork();
    gate_.unlock_after_fork(in_child);
    reopening_.unlock_after_fork();
}

result<highway_core*> make_highway_core(highway_options&& options, storage_type type, lane_maker make,
                                        bool passthrough) noexcept {
    try {
        auto made = std::make_unique<highway_core>(std::move(options), type, std::move(make), passthrough);
        if (result<void> started = made->start(); !started) return started.why();
        if (!passthrough) list_highway(made.get());
        return made.release();
    } catch (...) {
        return errc::out_of_memory;
    }
}

void drop_highway_core(highway_core* core) noexcept {
    if (core == nullptr) return;
    forget_highway(core);
    delete core;
}

}  // namespace lanes::detail
