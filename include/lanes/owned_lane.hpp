// Lanes that one thread owns: allocation and release without atomics.
//
//     lanes::owned_heap_lane lane(1 << 20);
//     lanes::fragment f = lane.allocate(200);            // some ten instructions
//     std::thread([f = std::move(f)] {}).join();         // any thread may release: one atomic operation
//
// The owner is the thread that made the lane, until another adopts it. Only the owner allocates, closes and resets; any
// thread may use and release fragments. The lane resets when its last fragment is released: at once if the owner does
// it, otherwise when the owner next finds the lane full or calls reset_if_empty.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "lanes/error.hpp"
#include "lanes/fragment.hpp"
#include "lanes/lane.hpp"
#include "lanes/storage.hpp"

namespace lanes {

// A thread-owned lane over any storage. Move-only. Only the owner may call, unless a call says otherwise.
class LANES_API owned_lane {
  public:
    owned_lane() noexcept = default;  // empty
    owned_lane(owned_lane&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}
    owned_lane& operator=(owned_lane&& other) noexcept;
    // Disposes. Fragments that are alive keep the storage. By the owner, or by any thread when the owner has ended.
    ~owned_lane();

    // As lane::allocate, without atomics: some ten instructions. Errors: size_out_of_range, bad_alignment, lane_full,
    // lane_closed, lane_disposed, not_the_owner, not_initialised.
    fragment allocate(std::uint64_t bytes, std::uint64_t alignment = 16) {
        if (std::byte* at = allocate_now(bytes, alignment)) [[likely]]
            return fragment_at(at, bytes);
        return try_again(bytes, alignment).value();
    }
    result<fragment> try_allocate(std::uint64_t bytes, std::uint64_t alignment = 16) noexcept {
        if (std::byte* at = allocate_now(bytes, alignment)) [[likely]]
            return fragment_at(at, bytes);
        return try_again(bytes, alignment);
    }

    // As those of lane: snapshots, any thread, never fail.
    std::uint64_t capacity() const noexcept { return core_ != nullptr ? core_->capacity() : 0; }
    std::uint64_t offset() const noexcept { return core_ != nullptr ? core_->offset() : 0; }
    std::uint64_t free_space() const noexcept;
    std::uint64_t live() const noexcept { return core_ != nullptr ? core_->live() : 0; }
    std::uint64_t cycle() const noexcept { return core_ != nullptr ? core_->cycle() : 0; }
    bool closed() const noexcept { return core_ != nullptr && core_->closed(); }
    bool disposed() const noexcept { return core_ != nullptr && core_->disposed(); }
    storage_type type() const noexcept { return core_ != nullptr ? core_->type() : storage_type::slot; }

    // Resets the lane now if other threads have released all live fragments; returns whether the lane is empty.
    // Constant time. Errors: not_the_owner, lane_disposed, not_initialised.
    bool reset_if_empty() { return try_reset_if_empty().value(); }
    result<bool> try_reset_if_empty() noexcept;

    // As those of lane. Errors also: not_the_owner.
    void close() { try_close().value(); }
    result<void> try_close() noexcept;
    void reopen() { try_reopen().value(); }
    result<void> try_reopen() noexcept;
    std::uint64_t force_reset(bool close = false) { return try_force_reset(close).value(); }
    result<std::uint64_t> try_force_reset(bool close = false) noexcept;
    void dispose() { try_dispose().value(); }
    result<void> try_dispose() noexcept;

    // Makes the calling thread the owner. All calls of the former owner must happen before this one (a join, a queue).
    // Constant time. Errors: lane_disposed, not_initialised.
    void adopt() { try_adopt().value(); }
    result<void> try_adopt() noexcept;

    // All bytes of the lane, handed out or not; empty for an empty or disposed one. Any thread.
    std::span<std::byte> bytes() const noexcept;
    // The lane's kind, capacity and state as one line of text. Any thread. Throws std::bad_alloc.
    std::string trace() const;

  protected:
    explicit owned_lane(detail::owned_core* core) noexcept : core_(core) {}
    detail::owned_core* core_ = nullptr;

  private:
    std::byte* allocate_now(std::uint64_t bytes, std::uint64_t alignment) noexcept {
        return core_ != nullptr && core_->owned_by_caller() ? core_->allocate(bytes, alignment) : nullptr;
    }
    fragment fragment_at(std::byte* at, std::uint64_t bytes) const noexcept {
        return fragment(fragment::parts{at, bytes, core_, core_->stamp()});
    }

    // Why it did not go the short way, and whether it does now.
    result<fragment> try_again(std::uint64_t bytes, std::uint64_t alignment) noexcept;
    errc check_owner() const noexcept;
};

namespace detail {
LANES_API result<owned_core*> make_owned_core(std::unique_ptr<storage_holder>, std::byte* data, std::uint64_t size,
                                              storage_type) noexcept;
}

// A thread-owned lane over storage of one kind; not one that keeps state between processes, which needs atomics. Errors
// of making one: those of the storage, size_out_of_range.
template <storage S>
requires(!S::keeps_state) class basic_owned_lane : public owned_lane {
  public:
    basic_owned_lane() noexcept = default;
    explicit basic_owned_lane(std::uint64_t capacity, const typename S::options& options = {})
        : basic_owned_lane(try_create(capacity, options).value()) {}
    static result<basic_owned_lane> try_create(std::uint64_t capacity,
                                               const typename S::options& options = {}) noexcept {
        if (capacity == 0 || capacity > basic_lane<S>::max_capacity) return errc::size_out_of_range;
        result<S> made = S::try_create(detail::whole_granules(capacity), options);
        return made ? try_over(*std::move(made)) : result<basic_owned_lane>(made.why());
    }

    explicit basic_owned_lane(S storage) : basic_owned_lane(try_over(std::move(storage)).value()) {}
    static result<basic_owned_lane> try_over(S storage) noexcept {
        auto* holder = new (std::nothrow) detail::holder_of<S>(std::move(storage));
        if (holder == nullptr) return errc::out_of_memory;
        S* held = &holder->held;
        auto core = detail::make_owned_core(std::unique_ptr<detail::storage_holder>(holder), held->data(), held->size(),
                                            S::type);
        if (!core) return core.why();
        return basic_owned_lane(*core, held);
    }

    // Valid until the lane is disposed; null for an empty one.
    S* storage() const noexcept { return core_ != nullptr ? storage_ : nullptr; }

  private:
    basic_owned_lane(detail::owned_core* core, S* storage) noexcept : owned_lane(core), storage_(storage) {}
    S* storage_ = nullptr;
};

using owned_heap_lane = basic_owned_lane<heap_storage>;
using owned_mapping_lane = basic_owned_lane<mapping_storage>;

}  // namespace lanes
