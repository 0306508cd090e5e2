// An indexed array that grows without moving its items: threads read, set, take and append while it grows.
//
//     lanes::stable_array<job*> jobs;
//     std::uint64_t at = jobs.append(&first);              // any thread; jobs.get(at) is &first in every other
//     if (job* mine = jobs.take(at)) mine->run();          // exactly one taker gets it, the others get null
//     jobs.drive_and_return(lanes::gear::p, [&] { jobs.resize(0); });   // alone, while others call and are refused
//
// Layout: segments of doubling size behind a table of 32 pointers in the object (detail/segment_table.hpp):
//
//     [ 64 cells ] [ 128 cells ] [ 256 cells ] ...          capacity(): the cells of all segments
//       x x - x     x x x - -     . . . . .                 x item   - empty, below size()   . empty, never appended
//                           ^ size(): where append goes
//
// An item is a pointer, a number, or another trivially copyable value of 1, 2, 4 or 8 bytes that the processor loads
// and exchanges in one step. The value T{} (null, zero) is the empty cell. Larger or owning items are held by pointer:
// `append(owner.release())` gives ownership to the array's users, and `take` gives it to exactly one of them. The array
// itself deletes nothing.
//
// Gears say which calls are allowed; all others fail with errc::wrong_gear. Reading, `index_of`, `count`, `size` and
// `reserve` are allowed in every gear.
//
//     gear       set exchange compare_exchange   take remove   append   remove_last   resize move_size format
//     n          yes                             yes           -        -             -
//     straight   yes                             yes           yes      -             -
//     reverse    -                               yes           -        yes           -
//     p          -                               -             -        -             yes
//
// An array starts in straight. `clutch` shifts once every call that the old gear allowed has ended; a call that comes
// while it waits is refused. So calls in gear p exclude all others, and append and remove_last never run at the same
// time.
//
// Invariants:
//  - A cell's address never changes until the array is destroyed, not even when it is resized away and comes back.
//  - Cells at and after size() are empty, and every cell below size() is in a segment.
//  - count() is the number of cells that are not empty, when no call is under way.
//  - A call that fails has changed nothing.
//
// Memory orders: what a thread did before it put an item in (set, append, ...; release) is seen by the thread that
// finds the item (get, take, for_each, ...; acquire). size() acquires what append releases: an index below it has a
// cell, which may still be empty between append's two steps.
//
// Cost: get is one bit scan, two dependent loads and two predicted branches; it writes nothing and never waits. set,
// take and compare_exchange are three read-modify-writes, two of them on a cache line shared with an eighth of the
// threads; append is four. All are lock-free; an append that finds no room waits for the lock under which the array
// grows. Measured without contention: get 2 ns, set and compare_exchange 9 ns, append 20 ns with its page faults.
//
// Reading is never refused, because nothing is unmapped while the array exists.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "lanes/detail/gearbox.hpp"
#include "lanes/detail/segment_table.hpp"
#include "lanes/error.hpp"

namespace lanes {

// What may be an item: copied as bytes, compared as bytes, exchanged in one step.
template <class T>
concept stable_item = std::is_object_v<T> && !std::is_array_v<T> && !std::is_const_v<T> && !std::is_volatile_v<T> &&
                      std::is_trivially_copyable_v<T> && std::is_nothrow_default_constructible_v<T> && sizeof(T) <= 8 &&
                      std::has_single_bit(sizeof(T)) &&
                      (std::has_unique_object_representations_v<T> ||
                       std::is_floating_point_v<T>)&&std::atomic_ref<T>::is_always_lock_free;

// Which calls an array allows; see the table above.
enum class gear : std::uint8_t {
    n,         // neutral: the length is fixed; items come and go in their cells
    straight,  // forward: the array grows by append
    reverse,   // backward: items are taken, and the array gets shorter by remove_last
    p,         // parked: items are only read; resize, move_size and format are allowed
};

// Cells that any stable_array can have at most: 2^38 - 64.
inline constexpr std::uint64_t stable_array_max_size = detail::segment_table<void*>::max_cells;

struct stable_array_options {
    // Cells to have from the start; rounded up to whole segments.
    std::uint64_t capacity = 0;
    // Maximum number of items: 1 to stable_array_max_size. Calls that would exceed it fail with errc::array_full.
    std::uint64_t max_size = stable_array_max_size;
    gear first_gear = gear::straight;
    // How many cells to have when an append finds no room, given how many there are. Rounded up to whole segments, at
    // least one more and at most max_size. Without it the array grows by one segment, which about doubles it. Runs in
    // the appending thread with the growth lock held: it may read this array and must not change or shift it. If it
    // throws, the append fails with errc::callback_failed and the array has not changed.
    std::function<std::uint64_t(std::uint64_t capacity)> growth;
    // Called on each shift, in the shifting thread, after the shift and before the action. If it throws, the array goes
    // back to the old gear and the shift fails with errc::callback_failed.
    std::function<void(gear from, gear to)> on_shift;
};

namespace detail {

// Throws lanes::error for a call of a stable_array; an exception of a callback is nested in it.
[[noreturn]] inline void throw_array_error(errc e, const char* call, const std::exception_ptr& thrown) {
    std::string subject = std::string("stable_array::") + call;
    if (!thrown) throw error(e, subject);
    try {
        std::rethrow_exception(thrown);
    } catch (...) {
        std::throw_with_nested(error(e, subject));
    }
}

}  // namespace detail

// Every call may be made by any thread at any time, construction and destruction excepted. A call `x` throws
// lanes::error; `try_x` returns the same errc and throws nothing. Every call but those that only read can fail with
// wrong_gear.
template <stable_item T>
class stable_array {
  public:
    using value_type = T;
    using index_type = std::uint64_t;

    // The item that remove_last took, and its index.
    struct removed {
        index_type index;
        T value;  // T{} if another thread had taken the item
    };

    // The result of operator[]: reading it is get, assigning to it is set. A copy of it refers to the same cell.
    class reference {
      public:
        operator T() const { return array_->get(index_); }
        const reference& operator=(T value) const {
            array_->set(index_, value);
            return *this;
        }
        const reference& operator=(const reference& other) const { return *this = static_cast<T>(other); }
        reference(const reference&) = default;

      private:
        friend stable_array;
        reference(stable_array* array, index_type index) noexcept : array_(array), index_(index) {}
        stable_array* array_;
        index_type index_;
    };

    static constexpr std::chrono::nanoseconds for_ever = detail::gearbox::for_ever;

    // An array without cells, in straight, without limits or callbacks. Allocates nothing, cannot fail.
    stable_array() noexcept : gears_(number(gear::straight)) {}

    // Errors: bad_option (max_size, a capacity above it, first_gear), out_of_memory.
    explicit stable_array(stable_array_options options)
        : options_(std::move(options)), gears_(number(options_.first_gear)) {
        if (errc e = start(); e != errc{}) detail::throw_array_error(e, "stable_array", nullptr);
    }
    static result<std::unique_ptr<stable_array>> try_make(stable_array_options options) noexcept {
        std::unique_ptr<stable_array> made(new (std::nothrow) stable_array(std::move(options), unstarted{}));
        if (!made) return errc::out_of_memory;
        if (errc e = made->start(); e != errc{}) return e;
        return made;
    }

    // Frees the cells, and nothing that items point to. No call may be under way.
    ~stable_array() = default;
    stable_array(const stable_array&) = delete;
    stable_array& operator=(const stable_array&) = delete;

    // Reading. Any gear, wait-free, no writes to shared memory. A read is not counted, so a shift does not wait for it:
    // it gives what the cell held at some instant of the call.

    // The item of that cell, or T{} if it is empty. Error: out_of_bounds (index >= capacity()).
    T get(index_type index) const {
        const T* cell = cells_.find(index);
        if (cell == nullptr) [[unlikely]]
            detail::throw_array_error(errc::out_of_bounds, "get", nullptr);
        return load(cell);
    }
    result<T> try_get(index_type index) const noexcept {
        const T* cell = cells_.find(index);
        if (cell == nullptr) [[unlikely]]
            return errc::out_of_bounds;
        return load(cell);
    }
    // The same, and T{} for an index without a cell. Never fails.
    T peek(index_type index) const noexcept {
        const T* cell = cells_.find(index);
        return cell == nullptr ? T{} : load(cell);
    }
    reference operator[](index_type index) noexcept { return reference(this, index); }
    T operator[](index_type index) const { return get(index); }

    // The cell itself, null at and after capacity(). Its address is valid until the array is destroyed. Other threads
    // may write at any time, so read it through std::atomic_ref; a write to it bypasses the gears and the count.
    T* cell(index_type index) noexcept { return cells_.find(index); }

    // Calls f(index, item) for each cell below size() that is not empty when it is reached, in order; stops when f
    // returns false. What f throws passes through. f may call the array. One load a cell.
    template <std::invocable<index_type, T> F>
    void for_each(F&& f) const {
        cells_.scan(0, size(), [&](index_type index, const T* cell) {
            T value = load(cell);
            if (is_empty(value)) return true;
            if constexpr (std::convertible_to<std::invoke_result_t<F&, index_type, T>, bool>)
                return static_cast<bool>(f(index, value));
            else
                return f(index, value), true;
        });
    }

    // The lowest index whose item has the same bytes as `value`; nothing if there is none or `value` is empty. Linear.
    std::optional<index_type> index_of(T value) const noexcept {
        std::optional<index_type> found;
        for_each([&](index_type index, T item) {
            if (same(item, value)) found = index;
            return !found;
        });
        return found;
    }

    // One more than the highest index that was appended and not removed.
    index_type size() const noexcept { return size_.load(std::memory_order_acquire); }  // pairs with append
    // Cells that are not empty. While calls are under way, of those that have ended. 8 loads.
    std::uint64_t count() const noexcept { return gears_.items(); }
    // Cells that can be read without growing: 64 * (2^segments - 1).
    std::uint64_t capacity() const noexcept { return cells_.capacity(); }
    std::uint64_t max_size() const noexcept { return options_.max_size; }
    // The gear; during a shift, the one that is being left.
    gear current_gear() const noexcept { return static_cast<gear>(gears_.gear()); }

    // Writing to a cell. Gears n and straight; what only takes, also reverse. Lock-free. Error: out_of_bounds (index >=
    // size()).

    // Puts `value` in the cell, empty or not. `exchange` gives the value before.
    void set(index_type index, T value) { must(try_set(index, value), "set"); }
    result<void> try_set(index_type index, T value) noexcept { return try_exchange(index, value).why(); }
    T exchange(index_type index, T value) { return must(try_exchange(index, value), "exchange"); }
    result<T> try_exchange(index_type index, T value) noexcept { return swap(putting, index, value); }

    // Empties the cell and gives its item; of several concurrent takers one gets the item and the others T{}.
    T take(index_type index) { return must(try_take(index), "take"); }
    result<T> try_take(index_type index) noexcept { return swap(taking, index, T{}); }

    // Puts `desired` in the cell if it holds the bytes of `expected`, and says whether it did; if not, `expected` is
    // what the cell holds.
    bool compare_exchange(index_type index, T& expected, T desired) {
        return must(try_compare_exchange(index, expected, desired), "compare_exchange");
    }
    result<bool> try_compare_exchange(index_type index, T& expected, T desired) noexcept {
        operation under_way(gears_, putting);
        if (!under_way) return errc::wrong_gear;
        if (index >= size()) return errc::out_of_bounds;
        return replace(under_way, cells_.find(index), expected, desired);
    }

    // Empties the first cell that holds `value`, and says whether there was one. Removing T{} is false. Linear.
    bool remove(T value) { return must(try_remove(value), "remove"); }
    result<bool> try_remove(T value) noexcept {
        operation under_way(gears_, taking);
        if (!under_way) return errc::wrong_gear;
        if (is_empty(value)) return false;
        bool done = false;
        cells_.scan(0, size(), [&](index_type, T* cell) {
            T expected = value;
            if (same(load(cell), value)) done = replace(under_way, cell, expected, T{});
            return !done;
        });
        return done;
    }

    // Length.

    // Puts `value` after the last item and gives its index. Gear straight. Appends by one thread have ascending
    // indices, and no two the same. Lock-free while there is room. Errors: array_full, out_of_memory, callback_failed
    // (growth). If another thread sets the new cell before append fills it (a guessed index), that item stays and the
    // append takes the next index.
    index_type append(T value) {
        std::exception_ptr thrown;
        return must(append_growing(value, thrown), "append", thrown);
    }
    result<index_type> try_append(T value) noexcept {
        std::exception_ptr thrown;
        return append_growing(value, thrown);
    }

    // The same, but in the first empty cell below size() if there is one. Linear. (Of T{}: append.)
    index_type append_at_first_free(T value) {
        std::exception_ptr thrown;
        return must(fill_or_append(value, thrown), "append_at_first_free", thrown);
    }
    result<index_type> try_append_at_first_free(T value) noexcept {
        std::exception_ptr thrown;
        return fill_or_append(value, thrown);
    }

    // Takes the last item and makes the array one shorter. Gear reverse. Lock-free. Error: out_of_bounds (size() is 0).
    removed remove_last() { return must(try_remove_last(), "remove_last"); }
    result<removed> try_remove_last() noexcept {
        operation under_way(gears_, backward);
        if (!under_way) return errc::wrong_gear;
        index_type end = size_.load(std::memory_order_acquire);
        do {
            if (end == 0) return errc::out_of_bounds;
        } while (!size_.compare_exchange_weak(end, end - 1, std::memory_order_acq_rel, std::memory_order_acquire));
        return removed{end - 1, put(under_way, cells_.find(end - 1), T{})};
    }

    // Makes capacity() at least `cells`. Any gear, also during a shift; waits while other threads grow the array.
    // Errors: array_full (cells > max_size()), out_of_memory (nothing was added). System calls, but touches no memory
    // from 64 KiB up.
    void reserve(std::uint64_t cells) { must(try_reserve(cells), "reserve"); }
    result<void> try_reserve(std::uint64_t cells) noexcept {
        auto lock = cells_.lock();
        return failure{make_room(cells)};
    }

    // Makes capacity() the smallest that holds `cells`: adds segments, or drops the items at and after `cells` (size()
    // is then `cells`) and gives the memory of unneeded segments back. Their addresses stay mapped, and read as empty
    // through pointers from cell(). Gear p. Errors: array_full, out_of_memory. Linear in what is dropped.
    void resize(std::uint64_t cells) { must(try_resize(cells), "resize"); }
    result<void> try_resize(std::uint64_t cells) noexcept {
        operation under_way(gears_, parked);
        if (!under_way) return errc::wrong_gear;
        auto lock = cells_.lock();
        if (errc e = make_room(cells); e != errc{}) return e;
        drop_from(under_way, cells);
        cells_.shrink(cells);
        return {};
    }

    // Makes size() equal to `to`: new cells are empty and can be set; items at and after it are dropped. Adds segments
    // as needed. Gear p. Errors: array_full, out_of_memory. Linear in what is dropped.
    void move_size(index_type to) { must(try_move_size(to), "move_size"); }
    result<void> try_move_size(index_type to) noexcept {
        operation under_way(gears_, parked);
        if (!under_way) return errc::wrong_gear;
        auto lock = cells_.lock();
        if (errc e = make_room(to); e != errc{}) return e;
        drop_from(under_way, to);
        size_.store(to, std::memory_order_release);
        return {};
    }

    // Puts `value` in every cell below size(). Gear p. Linear.
    void format(T value) { must(try_format(value), "format"); }
    result<void> try_format(T value) noexcept {
        operation under_way(gears_, parked);
        if (!under_way) return errc::wrong_gear;
        auto lock = cells_.lock();
        fill(under_way, 0, value);
        return {};
    }

    // Shifting. One shift at a time; others wait. Each gives the gear before. `timeout` limits the waiting for other
    // shifts and for calls under way; with zero or less it does not wait. Errors: gear_timeout, bad_option (no such
    // gear), callback_failed (on_shift or the action), wrong_gear (called from an action): after each of them the gear
    // has not changed.

    // Shifts once all calls that the old gear allowed have ended. Must not be called from `growth`.
    gear clutch(gear to, std::chrono::nanoseconds timeout = for_ever) {
        return drive_as("clutch", to, false, timeout, [] {});
    }
    result<gear> try_clutch(gear to, std::chrono::nanoseconds timeout = for_ever) noexcept {
        return drive_as(to, false, timeout, [] {});
    }

    // The same, and calls action() in the new gear before any other shift can change it. The array stays in that gear.
    // The action may make any call that the gear allows, but not shift.
    template <std::invocable F>
    gear drive(gear to, F&& action, std::chrono::nanoseconds timeout = for_ever) {
        return drive_as("drive", to, false, timeout, action);
    }
    template <std::invocable F>
    result<gear> try_drive(gear to, F&& action, std::chrono::nanoseconds timeout = for_ever) noexcept {
        return drive_as(to, false, timeout, action);
    }

    // The same, and shifts back afterwards.
    template <std::invocable F>
    gear drive_and_return(gear to, F&& action, std::chrono::nanoseconds timeout = for_ever) {
        return drive_as("drive_and_return", to, true, timeout, action);
    }
    template <std::invocable F>
    result<gear> try_drive_and_return(gear to, F&& action, std::chrono::nanoseconds timeout = for_ever) noexcept {
        return drive_as(to, true, timeout, action);
    }

  private:
    using operation = detail::gearbox::operation;
    struct unstarted {};

    static constexpr detail::gearbox::gear_number number(gear g) noexcept {
        return static_cast<detail::gearbox::gear_number>(g);
    }
    static constexpr unsigned bit(gear g) noexcept { return 1u << number(g); }
    // The table of gears.
    static constexpr unsigned putting = bit(gear::n) | bit(gear::straight);
    static constexpr unsigned taking = putting | bit(gear::reverse);
    static constexpr unsigned forward = bit(gear::straight);
    static constexpr unsigned backward = bit(gear::reverse);
    static constexpr unsigned parked = bit(gear::p);

    stable_array(stable_array_options options, unstarted) noexcept
        : options_(std::move(options)), gears_(number(options_.first_gear)) {}
    errc start() noexcept {
        if (options_.max_size == 0 || options_.max_size > stable_array_max_size ||
            options_.capacity > options_.max_size || options_.first_gear > gear::p)
            return errc::bad_option;
        return try_reserve(options_.capacity).error();
    }

    static bool same(T a, T b) noexcept {
        using bytes = std::array<std::byte, sizeof(T)>;
        return std::bit_cast<bytes>(a) == std::bit_cast<bytes>(b);
    }
    static bool is_empty(T value) noexcept { return same(value, T{}); }

    // Acquire pairs with the release of put and replace.
    static T load(const T* cell) noexcept {
        return std::atomic_ref<T>(*const_cast<T*>(cell)).load(std::memory_order_acquire);
    }

    static void tally(operation& under_way, T before, T after) noexcept {
        under_way.add_items(static_cast<int>(is_empty(before)) - static_cast<int>(is_empty(after)));
    }
    // Release pairs with load() of the new value; acquire with the put of the old one.
    static T put(operation& under_way, T* cell, T value) noexcept {
        T before = std::atomic_ref<T>(*cell).exchange(value, std::memory_order_acq_rel);
        tally(under_way, before, value);
        return before;
    }
    static bool replace(operation& under_way, T* cell, T& expected, T desired) noexcept {
        std::atomic_ref<T> item(*cell);
        if (!item.compare_exchange_strong(expected, desired, std::memory_order_acq_rel, std::memory_order_acquire))
            return false;
        tally(under_way, expected, desired);
        return true;
    }

    result<T> swap(unsigned gears, index_type index, T value) noexcept {
        operation under_way(gears_, gears);
        if (!under_way) return errc::wrong_gear;
        if (index >= size()) return errc::out_of_bounds;
        return put(under_way, cells_.find(index), value);
    }

    result<index_type> append_growing(T value, std::exception_ptr& thrown) noexcept {
        operation under_way(gears_, forward);
        if (!under_way) return errc::wrong_gear;
        index_type index = size_.load(std::memory_order_relaxed);
        for (;;) {
            if (index >= options_.max_size) return errc::array_full;
            T* cell = cells_.find(index);
            if (cell == nullptr) {
                if (errc e = grow_by_policy(index + 1, thrown); e != errc{}) return e;
                continue;
            }
            // Release pairs with size(): a thread that sees the new size also sees the segment that this thread has
            // found. Claiming before filling: the reverse would let a slow thread fill a cell that has been taken
            // since.
            if (!size_.compare_exchange_weak(index, index + 1, std::memory_order_acq_rel, std::memory_order_relaxed))
                continue;
            T nothing{};
            if (is_empty(value) || replace(under_way, cell, nothing, value)) return index;
            ++index;
        }
    }

    result<index_type> fill_or_append(T value, std::exception_ptr& thrown) noexcept {
        if (!is_empty(value)) {
            operation under_way(gears_, forward);
            if (!under_way) return errc::wrong_gear;
            std::optional<index_type> filled;
            cells_.scan(0, size(), [&](index_type index, T* cell) {
                T nothing{};
                if (is_empty(load(cell)) && replace(under_way, cell, nothing, value)) filled = index;
                return !filled;
            });
            if (filled) return *filled;
        }
        return append_growing(value, thrown);
    }

    // Room for an append of index `needed` - 1, and as much more as the policy wants.
    errc grow_by_policy(std::uint64_t needed, std::exception_ptr& thrown) noexcept {
        auto lock = cells_.lock();
        std::uint64_t had = cells_.capacity(), wanted = needed;
        if (had >= needed) return {};
        if (options_.growth) {
            try {
                wanted = options_.growth(had);
            } catch (...) {
                thrown = std::current_exception();
                return errc::callback_failed;
            }
            if (wanted < needed) wanted = needed;
            if (wanted > options_.max_size) wanted = options_.max_size;
        }
        return make_room(wanted);
    }
    // Under the growth lock.
    errc make_room(std::uint64_t cells) noexcept {
        if (cells > options_.max_size) return errc::array_full;
        return cells_.grow(cells) ? errc{} : errc::out_of_memory;
    }

    // In gear p, under the growth lock.
    void fill(operation& under_way, index_type from, T value) noexcept {
        cells_.scan(from, size(), [&](index_type, T* cell) {
            put(under_way, cell, value);
            return true;
        });
    }
    void drop_from(operation& under_way, index_type from) noexcept {
        if (from >= size()) return;
        fill(under_way, from, T{});
        size_.store(from, std::memory_order_release);
    }

    template <class F>
    detail::gearbox::shifted shift(gear to, bool come_back, std::chrono::nanoseconds timeout, F& action) noexcept {
        if (to > gear::p) return {errc::bad_option, 0, {}};
        auto told = [this](detail::gearbox::gear_number from, detail::gearbox::gear_number now) {
            if (options_.on_shift) options_.on_shift(static_cast<gear>(from), static_cast<gear>(now));
        };
        return gears_.shift(number(to), come_back, timeout, told, action);
    }
    template <class F>
    result<gear> drive_as(gear to, bool come_back, std::chrono::nanoseconds timeout, F&& action) noexcept {
        auto done = shift(to, come_back, timeout, action);
        if (done.error != errc{}) return done.error;
        return static_cast<gear>(done.from);
    }
    template <class F>
    gear drive_as(const char* call, gear to, bool come_back, std::chrono::nanoseconds timeout, F&& action) {
        auto done = shift(to, come_back, timeout, action);
        if (done.error != errc{}) detail::throw_array_error(done.error, call, done.thrown);
        return static_cast<gear>(done.from);
    }

    // The throwing form of a call from its twin.
    template <class R>
    static R must(result<R> from, const char* call, const std::exception_ptr& thrown = nullptr) {
        if (!from) [[unlikely]]
            detail::throw_array_error(from.error(), call, thrown);
        if constexpr (!std::is_void_v<R>) return *from;
    }

    detail::segment_table<T> cells_;  // read by all; written when the array grows
    const stable_array_options options_;
    detail::gearbox gears_;
    alignas(64) std::atomic<index_type> size_{0};  // written by every append, so a line of its own
};

}  // namespace lanes
