// Finding room on a highway, adding lanes, and ending them.
#include "lane/highway_core.hpp"

#include <algorithm>
#include <new>
#include <thread>

namespace lanes::detail {
namespace {

using clock = std::chrono::steady_clock;

// A number below `numbers`, a power of two, for the calling thread; two threads may share one. Control blocks of threads lie a
// stack apart, so the multiplication has to bring their high bits into play.
std::size_t thread_number(std::size_t numbers) noexcept {
    return thread_identity() * 0x9e3779b97f4a7c15 >> 32 & (numbers - 1);
}

bool is_limit(errc e) noexcept {
    return e == errc::max_lanes_reached || e == errc::max_bytes_reached || e == errc::growth_timeout || e == errc::out_of_memory ||
           e == errc::disk_full;
}

bool valid(const highway_options& o) noexcept {
    auto capacity_is_valid = [](std::uint64_t n) {
        return n >= highway_limits::min_lane_capacity && n <= highway_limits::max_lane_capacity;
    };
    return capacity_is_valid(o.default_lane_capacity) && std::ranges::all_of(o.lanes, capacity_is_valid) &&
           o.laps_before_new_lane >= 1 && o.lane_tries >= 1 && o.concurrent_new_lanes >= 1 && o.new_lane_timeout.count() >= 0 &&
           o.max_lanes >= 1 && o.max_lanes <= highway_limits::max_lanes && o.max_bytes >= 1 &&
           o.max_bytes <= highway_limits::max_bytes;
}

}  // namespace

highway_core::highway_core(highway_options&& options, storage_type type, lane_maker make, bool passthrough)
    : options_(std::move(options)), type_(type), make_(std::move(make)), passthrough_(passthrough),
      max_alignment_(type == storage_type::file || type == storage_type::memfd ? max_alignment_between_processes : max_alignment),
      held_(std::make_shared<byte_budget>(0)), lanes_(stable_array_options{}), gate_(options_.concurrent_new_lanes) {
    // Threads begin apart where there are lanes enough.
    for (unsigned i = 0; i < hints; ++i) {
        last_used_[i] = options_.lanes.empty() ? 0 : static_cast<std::uint32_t>(i % options_.lanes.size());
    }
}

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
        if (result<void> made = add_lane(capacity, capacity, *index); !made) return made;
    }
    return {};
}

result<fragment> highway_core::allocate(std::uint64_t bytes, std::uint64_t alignment, const effort& how, refusal& why) noexcept {
    if (errc e = check_request(bytes, alignment, highway_limits::max_lane_capacity); e != errc{}) return e;
    if (alignment > max_alignment_) return errc::bad_alignment;
    if (passthrough_) {
        if (disposed()) return errc::highway_disposed;
        result<slot> made = slot::try_make(bytes, alignment);
        if (!made) return made.error();
        return (*std::move(made)).into_fragment();
    }
    unsigned tries = how.tries != 0 ? how.tries : options_.lane_tries;
    std::atomic<std::uint32_t>& hint = last_used_[thread_number(hints)];
    if (shared_core* core = lane_at(hint.load(std::memory_order_relaxed))) [[likely]] {
        result<fragment> got = core->allocate(bytes, alignment, tries);
        if (got) [[likely]] return got;
    }
    clock::time_point give_up = how.wait.count() > 0 ? clock::now() + how.wait : clock::time_point{};
    std::chrono::microseconds pause{50};
    while (true) {
        if (disposed()) return errc::highway_disposed;
        std::uint64_t seen = changes_.load(std::memory_order_acquire);
        for (unsigned i = 0; i < options_.laps_before_new_lane; ++i) {
            result<fragment> got = lap(bytes, alignment, tries, hint);
            if (got) return got;
        }
        result<void> grown = grow(bytes, alignment, seen, why);
        if (grown) continue;
        if (!is_limit(grown.error()) || clock::now() >= give_up) return grown.why();
        std::this_thread::sleep_for(pause);
        pause = std::min(pause * 2, std::chrono::microseconds(1000));
    }
}

result<fragment> highway_core::lap(std::uint64_t bytes, std::uint64_t alignment, unsigned tries,
                                   std::atomic<std::uint32_t>& hint) noexcept {
    auto lanes = static_cast<std::uint32_t>(lanes_.size());
    std::uint32_t first = hint.load(std::memory_order_relaxed);
    errc worst = errc::lane_full;
    for (std::uint32_t i = 0; i < lanes; ++i) {
        std::uint32_t index = first + i < lanes ? first + i : first + i - lanes;
        shared_core* core = lane_at(index);
        if (core == nullptr) continue;
        result<fragment> got = core->allocate(bytes, alignment, tries);
        if (got) {
            if (index != first) hint.store(index, std::memory_order_relaxed);
            return got;
        }
        if (got.error() == errc::contended) worst = errc::contended;
    }
    return worst;
}

errc highway_core::refuse(errc e, const std::function<bool()>& callback, refusal& why) const noexcept {
    if (callback == nullptr || why.asked) return e;
    try {
        why.asked = true;
        why.quiet = callback();
        return e;
    } catch (...) {
        why.thrown = std::current_exception();
        return errc::callback_failed;
    }
}

result<void> highway_core::grow(std::uint64_t bytes, std::uint64_t alignment, std::uint64_t seen, refusal& why) noexcept {
    growth_gate::pass pass(gate_, options_.new_lane_timeout);
    if (!pass) return errc::growth_timeout;
    if (disposed()) return errc::highway_disposed;
    if (changes_.load(std::memory_order_acquire) != seen) return {};   // somebody else made one meanwhile

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
    // A lane's first byte is aligned to a granule at least.
    std::uint64_t least = bytes + (alignment > granule ? alignment : 0);
    result<void> added = add_lane(std::min(std::max(capacity, least), highway_limits::max_lane_capacity), least, *index);
    if (added.error() == errc::max_lanes_reached) return refuse(errc::max_lanes_reached, options_.on_max_lanes, why);
    if (added.error() == errc::max_bytes_reached) return refuse(errc::max_bytes_reached, options_.on_max_bytes, why);
    return added;
}

result<std::uint64_t> highway_core::promise(std::uint64_t capacity, std::uint64_t least) noexcept {
    // Before the lane is made, so that several threads together stay below the limits.
    std::uint32_t open = open_lanes_.load(std::memory_order_relaxed);
    do {
        if (open >= options_.max_lanes) return errc::max_lanes_reached;
    } while (!open_lanes_.compare_exchange_weak(open, open + 1, std::memory_order_relaxed));
    std::uint64_t held = held_->load(std::memory_order_relaxed);
    std::uint64_t granted;
    do {
        std::uint64_t left = options_.max_bytes - std::min(held, options_.max_bytes);
        if (left < least) {
            open_lanes_.fetch_sub(1, std::memory_order_relaxed);
            return errc::max_bytes_reached;
        }
        granted = std::min(capacity, left);
    } while (!held_->compare_exchange_weak(held, held + granted, std::memory_order_relaxed));
    return granted;
}

void highway_core::break_promise(std::uint64_t capacity) noexcept {
    held_->fetch_sub(capacity, std::memory_order_relaxed);
    open_lanes_.fetch_sub(1, std::memory_order_relaxed);
}

result<void> highway_core::add_lane(std::uint64_t capacity, std::uint64_t least, std::size_t index) noexcept {
    result<std::uint64_t> promised = promise(capacity, least);
    result<shared_core*> made = promised.error();
    if (promised) {
        try {
            made = make_(*promised, index);
        } catch (...) {
            made = errc::out_of_memory;   // options were copied
        }
        if (!made) break_promise(*promised);
    }
    if (!made) {
        give_index_back(index);
        return made.error() == errc::system_failure ? failure{errc::new_lane_failed, made.system_error()} : made.why();
    }
    (*made)->count_in(held_, *promised);
    put_lane(index, *made);
    return {};
}

void highway_core::put_lane(std::size_t index, shared_core* lane) noexcept {
    std::lock_guard hold(mutex_);
    shared_core* before = lanes_.peek(index);
    bool too_late = disposed() || (before != nullptr && !before->disposed());   // another reopened it first
    if (too_late) {
        open_lanes_.fetch_sub(1, std::memory_order_relaxed);
        lane->dispose();
        lane->let_go();
        return;
    }
    if (before != nullptr) {
        lane->replaced = before;   // a thread may be about to ask it for room; it goes with the highway
    }
    lanes_.try_exchange(index, lane).error();
    changes_.fetch_add(1, std::memory_order_release);
}

result<std::size_t> highway_core::new_index() noexcept {
    std::lock_guard hold(mutex_);
    if (!free_indices_.empty()) {
        std::size_t index = free_indices_.back();
        free_indices_.pop_back();
        return index;
    }
    auto appended = lanes_.try_append(nullptr);
    if (!appended) return appended.error() == errc::out_of_memory ? errc::out_of_memory : errc::max_lanes_reached;
    return static_cast<std::size_t>(*appended);
}

void highway_core::give_index_back(std::size_t index) noexcept {
    std::lock_guard hold(mutex_);
    if (lanes_.peek(index) != nullptr) return;   // it was a disposed lane's
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
    if (core->disposed()) return {};
    core->dispose();
    open_lanes_.fetch_sub(1, std::memory_order_relaxed);
    return {};
}

result<void> highway_core::reopen_lane(std::size_t index) noexcept {
    shared_core* core = lane_at(index);
    if (core == nullptr) return errc::no_such_lane;
    if (!core->disposed()) return core->set_closed(false);
    if (disposed()) return errc::highway_disposed;
    growth_gate::pass pass(gate_, options_.new_lane_timeout);
    if (!pass) return errc::growth_timeout;
    if (lane_at(index) != core) return {};   // somebody else has put one there
    return add_lane(core->capacity(), core->capacity(), index);
}

void highway_core::dispose() noexcept {
    disposed_.store(true, std::memory_order_release);
    std::lock_guard hold(mutex_);
    each_lane([&](std::size_t, shared_core& core) {
        core.dispose();
        open_lanes_.fetch_sub(1, std::memory_order_relaxed);
    });
}

result<highway_core*> make_highway_core(highway_options&& options, storage_type type, lane_maker make, bool passthrough) noexcept {
    try {
        bool cleanup = options.cleanup_at_exit && !passthrough;
        auto made = std::make_unique<highway_core>(std::move(options), type, std::move(make), passthrough);
        if (result<void> started = made->start(); !started) return started.why();
        if (cleanup) dispose_at_exit(made.get());
        return made.release();
    } catch (...) {
        return errc::out_of_memory;
    }
}

void drop_highway_core(highway_core* core) noexcept {
    if (core == nullptr) return;
    forget_at_exit(core);
    delete core;
}

}  // namespace lanes::detail
