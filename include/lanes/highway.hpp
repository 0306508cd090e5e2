// Highways: many lanes with one policy. An allocation takes the first lane that has room; when none has, a lane is
// added.
//
//     lanes::heap_highway highway;                       // two lanes, 8 MiB and 4 MiB
//     lanes::fragment f = highway.allocate(200);
//
//     lanes::mapping_highway bounded({.lanes = {1 << 20, 1 << 20}, .max_bytes = 16 << 20});
//
// All calls may be made by many threads at once; each thread begins with the lane it used last (of several highways in
// turn, perhaps with one that another thread used), so threads spread over the lanes by themselves. Fragments may
// outlive the highway.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lanes/error.hpp"
#include "lanes/fragment.hpp"
#include "lanes/highway_options.hpp"
#include "lanes/lane.hpp"
#include "lanes/storage.hpp"

namespace lanes {

namespace detail {
class highway_core;

// Makes the lane that will have this index; `again`: there was one, which was disposed.
using lane_maker = std::function<result<shared_core*>(std::uint64_t capacity, std::size_t index, bool again)>;

LANES_API result<highway_core*> make_highway_core(highway_options&&, storage_type, lane_maker,
                                                  bool passthrough) noexcept;
LANES_API void drop_highway_core(highway_core*) noexcept;
LANES_API storage_holder* holder_of_lane(const lane_ref&) noexcept;
}  // namespace detail

// A highway over any storage. Move-only; an empty or moved-from one fails with not_initialised.
class LANES_API highway {
  public:
    highway() noexcept = default;
    highway(highway&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}
    highway& operator=(highway&& other) noexcept;
    // Disposes all lanes. Fragments that are alive keep their lane's storage. No other thread may be allocating.
    ~highway();

    // A fragment of `bytes` bytes whose first byte is at a multiple of `alignment`, from any lane. Cost: that of
    // lane::allocate while the lane that this thread used last has room; then a look at each lane; then a new lane.
    // Errors: size_out_of_range, bad_alignment, max_lanes_reached, max_bytes_reached, growth_timeout, callback_failed,
    // highway_disposed, not_initialised, and what the storage says of a new lane (out_of_memory, disk_full,
    // permission_denied ...; new_lane_failed for what has no code of its own). When a limit's callback says true,
    // allocate() gives an empty fragment.
    fragment allocate(std::uint64_t bytes, std::uint64_t alignment = 16, const effort& how = {});
    result<fragment> try_allocate(std::uint64_t bytes, std::uint64_t alignment = 16, const effort& how = {}) noexcept;

    // Snapshots: other threads may have changed them since. Never fail; constant time unless said otherwise.
    std::size_t lane_count() const noexcept;        // lanes that are not disposed
    std::size_t lanes_made() const noexcept;        // one past the last lane's index
    std::uint64_t total_live() const noexcept;      // fragments; O(lanes), as the two below
    std::uint64_t total_capacity() const noexcept;  // bytes of all lanes that are not disposed
    std::uint64_t total_free_space() const noexcept;
    // Bytes of storage, also of disposed lanes that fragments keep. As requested: a storage that consists of pages has
    // up to a page more.
    std::uint64_t bytes_held() const noexcept;
    bool disposed() const noexcept;
    storage_type type() const noexcept;
    const highway_options& options() const noexcept;  // of an empty highway: the defaults

    // When something was last allocated from any lane, to about 4 ms; the clock's epoch if nothing ever was. A lane
    // notes the time once for what ends in the same 4 KiB of it, so small allocations that come slowly look older.
    // O(lanes).
    std::chrono::steady_clock::time_point last_allocation() const noexcept;

    // A lane by its index; disposed ones, too. Error: no_such_lane.
    lane_ref operator[](std::size_t index) const { return try_lane(index).value(); }
    result<lane_ref> try_lane(std::size_t index) const noexcept;
    // All lanes that are not disposed, by rising index. Throws std::bad_alloc.
    std::vector<lane_ref> lanes() const;

    // Lanes by index; other threads may be allocating. Any thread. A closed lane is passed over until it is reopened. A
    // disposed one gives up its storage with its last fragment; reopening it puts a new, empty lane of the same
    // capacity in its place; a kept file's name goes to the new one. Errors: no_such_lane; close: lane_disposed; reopen
    // of a disposed lane: as a new lane in allocate().
    void close_lane(std::size_t index) { try_close_lane(index).value(); }
    result<void> try_close_lane(std::size_t index) noexcept;
    void reopen_lane(std::size_t index) { try_reopen_lane(index).value(); }
    result<void> try_reopen_lane(std::size_t index) noexcept;
    void dispose_lane(std::size_t index) { try_dispose_lane(index).value(); }
    result<void> try_dispose_lane(std::size_t index) noexcept;

    // The indices of lanes that fragments have kept from resetting for long: something is alive, and the last
    // allocation was at least `older_than` before the highway's last one. What to do about them is the caller's choice:
    // force_reset is unsafe; closing the lane gives up its free room; finding the code that holds the fragments costs
    // nothing. O(lanes). Throws std::bad_alloc.
    std::vector<std::size_t> pinned_lanes(std::chrono::nanoseconds older_than) const;

    // Gives the memory behind lanes without live fragments back to the system, if their storage supports it; returns
    // the bytes given back. Never fails; any thread; a system call for each such lane.
    std::uint64_t trim() noexcept;

    // Disposes all lanes; allocations then fail with highway_disposed. Other threads may be allocating. Calling it
    // twice is no error.
    void dispose() noexcept;

    // The highway and each of its lanes, a line each. Throws std::bad_alloc.
    std::string trace() const;

  protected:
    explicit highway(detail::highway_core* core) noexcept : core_(core) {}
    detail::highway_core* core_ = nullptr;
};

// A highway over storage of one kind.
template <storage S>
class basic_highway : public highway {
  public:
    using storage_options = typename S::options;

    // Capacities, in bytes, of the first lanes of a highway whose options name none. A program may change it before it
    // makes highways; not while another thread makes one.
    inline static std::vector<std::uint64_t> default_layout{std::uint64_t{8} << 20, std::uint64_t{4} << 20};

    // Makes all of its first lanes, or fails. Errors: bad_option, out_of_memory, and those of a new lane. Cost: that of
    // making the storages.
    explicit basic_highway(highway_options options = {}, storage_options storage = {})
        : basic_highway(try_create(std::move(options), std::move(storage)).value()) {}
    static result<basic_highway> try_create(highway_options options = {}, storage_options storage = {}) noexcept {
        try {
            if (options.lanes.empty()) options.lanes = default_layout;
            auto make = [storage = std::move(storage)](std::uint64_t capacity, std::size_t index,
                                                       bool again) -> result<detail::shared_core*> {
                storage_options own = storage.for_lane(index);
                // A new lane in place of the old one, not the old one's file with what it holds.
                if constexpr (S::type == storage_type::file) {
                    if (again) own.mode = S::open_mode::replace;
                }
                result<S> bytes = S::try_create(detail::storage_bytes<S>(capacity), own);
                if (!bytes) return bytes.why();
                auto made = detail::make_core_over(*std::move(bytes));
                if (!made) return made.why();
                return made->first;
            };
            auto core = detail::make_highway_core(std::move(options), S::type, std::move(make), false);
            if (!core) return core.why();
            return basic_highway(*core);
        } catch (...) {  // copying names and sizes
            return errc::out_of_memory;
        }
    }

    // The storage of a lane, valid until that is disposed; null for an index without a lane, or with a disposed one.
    // Any thread; constant time.
    S* storage(std::size_t index) const noexcept {
        auto lane = try_lane(index);
        if (!lane || lane->disposed()) return nullptr;
        auto* holder = static_cast<detail::holder_of<S>*>(detail::holder_of_lane(*lane));
        return holder != nullptr ? &holder->held : nullptr;
    }

  private:
    explicit basic_highway(detail::highway_core* core) noexcept : highway(core) {}
};

using heap_highway = basic_highway<heap_storage>;
using mapping_highway = basic_highway<mapping_storage>;
using file_highway = basic_highway<file_storage>;
using memfd_highway = basic_highway<memfd_storage>;

// A highway without lanes: each fragment is a slot of its own, freed when it goes. For code that takes a highway where
// lifetimes are too mixed for lanes, and to measure what lanes gain. No option has an effect; lane_count() is 0. An
// allocation costs a malloc and has the errors of slot. Making one fails with out_of_memory only.
class passthrough_highway : public highway {
  public:
    passthrough_highway() : passthrough_highway(try_create().value()) {}
    static result<passthrough_highway> try_create() noexcept {
        auto core = detail::make_highway_core({}, storage_type::slot, nullptr, true);
        if (!core) return core.why();
        return passthrough_highway(*core);
    }

  private:
    explicit passthrough_highway(detail::highway_core* core) noexcept : highway(core) {}
};

}  // namespace lanes
