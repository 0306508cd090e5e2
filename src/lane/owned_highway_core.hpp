// The state of a thread-owned highway: its lanes by what they are used for.
//
// A lane is the current one; or in use, because something in it is alive; or empty, and then normal (one span) or
// large; or scratch. The owner alone touches the lists.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "lanes/owned_highway.hpp"
#include "lanes/storage.hpp"

namespace lanes::detail {

// One mapping that holds some spans; goes with the last of their lanes.
struct mapped_spans {
    mapping_storage storage;
    std::atomic<std::uint64_t> lanes;  // that are there, or may yet be made. Acq_rel: the last one sees what all did

    void let_go(std::uint64_t count) noexcept {
        if (lanes.fetch_sub(count, std::memory_order_acq_rel) == count) delete this;
    }
};

// A ring of lanes; a lane that is in no ring is a ring of its own.
class lane_ring {
  public:
    explicit lane_ring(span_lane& head) : head_(head) {}

    bool empty() const noexcept { return head_.next == &head_; }
    span_lane* first() const noexcept { return empty() ? nullptr : head_.next; }
    void push_front(span_lane& lane) noexcept { insert(lane, head_); }
    void push_back(span_lane& lane) noexcept { insert(lane, *head_.previous); }
    static void remove(span_lane& lane) noexcept {
        lane.previous->next = lane.next;
        lane.next->previous = lane.previous;
        lane.next = lane.previous = &lane;
    }
    template <class F>
    void each(F&& f) const {
        for (span_lane* lane = head_.next; lane != &head_;) {
            span_lane* next = lane->next;  // f may take the lane out
            f(*lane);
            lane = next;
        }
    }

  private:
    static void insert(span_lane& lane, span_lane& behind) noexcept {
        lane.previous = &behind;
        lane.next = behind.next;
        behind.next->previous = &lane;
        behind.next = &lane;
    }
    span_lane& head_;
};

class owned_highway_core : public owned_highway::hot_state {
  public:
    explicit owned_highway_core(const owned_highway_options&) noexcept;
    ~owned_highway_core();
    owned_highway_core(const owned_highway_core&) = delete;

    static errc check(const owned_highway_options&) noexcept;
    bool owned_by_caller() const noexcept { return owner.load(std::memory_order_relaxed) == thread_identity(); }

    // The slow path of allocate_block.
    result<void*> allocate(std::uint64_t bytes, std::uint64_t alignment) noexcept;
    // The owner has released the last live range in it.
    void emptied(span_lane&) noexcept;

    // As the function of that name beside scratch_place.
    scratch_beginning begin_scope_elsewhere(scratch_place&) noexcept;
    // As allocate() for the innermost scope, which is at that place.
    result<void*> allocate_scratch(scratch_place& place, std::uint64_t bytes, std::uint64_t alignment) noexcept;
    // As the function of that name beside scratch_place.
    void leave_scratch_lanes(scratch_place& place, std::uintptr_t cursor, std::uintptr_t end) noexcept;
    std::size_t frames_open() const noexcept;

    std::uint64_t trim() noexcept;
    void adopt() noexcept;

    std::size_t lane_count() const noexcept;
    std::uint64_t live() const noexcept;
    std::uint64_t bytes_held() const noexcept { return held_; }
    const owned_highway_options& options() const noexcept { return options_; }

  private:
    // The bytes that a lane of its own needs for the request, or why it is a bad one.
    result<std::uint64_t> check_request(std::uint64_t bytes, std::uint64_t alignment) const noexcept;
    std::uint64_t span() const noexcept { return options_.lane_bytes; }
    std::uint64_t usable() const noexcept { return span() - span_lane::front_bytes; }
    span_lane* make_lane_at(std::byte* base, mapped_spans*, std::uint64_t bytes) noexcept;

    // Whether an empty lane suits such a request: large lanes only serve large requests, and not much smaller ones.
    bool serves(const span_lane&, std::uint64_t bytes) const noexcept;
    // An empty lane with room for so many bytes, in no ring.
    result<span_lane*> take_lane(std::uint64_t bytes) noexcept;
    span_lane* take_empty(std::uint64_t bytes) noexcept;
    // Searches up to so many of the lanes in use for one that other threads have emptied and that suits the request;
    // puts other empty ones away.
    span_lane* find_emptied(std::uint64_t bytes, std::size_t most) noexcept;
    result<span_lane*> make_lane() noexcept;
    result<span_lane*> make_large_lane(std::uint64_t bytes) noexcept;
    result<mapped_spans*> map_spans(std::uint64_t bytes, std::uint64_t lanes) noexcept;
    // Keeps an empty lane for later, or gives its memory back. These give the bytes that went back.
    std::uint64_t put_empty(span_lane&) noexcept;
    bool scratch_in_use() const noexcept;
    // Takes a scratch lane with room for so many bytes.
    result<span_lane*> enter_scratch_lane(std::uint64_t bytes) noexcept;
    // Puts away empty lanes that are in no ring: the current one, and those of scopes if no scope is open.
    std::uint64_t put_idle() noexcept;
    std::uint64_t give_up(span_lane&) noexcept;
    // Gives up every empty lane, and spans that have no lane yet.
    std::uint64_t give_up_empty() noexcept;

    template <class F>
    void each_lane(F&& f);

    const owned_highway_options options_;
    span_lane nowhere_, in_use_head_, empty_head_,
        empty_large_head_;  // lanes without room: no lane yet, and heads of rings
    lane_ring in_use_{in_use_head_}, empty_{empty_head_}, empty_large_{empty_large_head_};
    std::vector<span_lane*> scratch_lanes_;  // in the order in which scopes entered them
    std::uint64_t scratch_bytes_ = 0;        // of these
    std::uint64_t held_ = 0;                 // bytes of lanes, and of those that may yet be made
    std::uint64_t kept_ = 0;                 // bytes of empty lanes
    mapped_spans* fresh_ = nullptr;          // has spans of which no lane was made yet
    std::byte* fresh_at_ = nullptr;
    std::uint64_t fresh_lanes_ = 0;
    std::uint64_t map_next_ = 1;  // lanes of the next mapping
};

}  // namespace lanes::detail
