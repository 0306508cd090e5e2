// The state of a lane that threads share, and with some storages processes too.
//
// Within a process the lane's word is in the core. Between processes it is in the storage's header, and the word in the
// core counts this process's own fragments: it decides when this process unmaps the storage, and has no offset. A child
// of fork has copies of its parent's fragments; those are made orphans there, so that they are not released twice.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>

#include "lane/lane_state.hpp"
#include "lanes/detail/lane_core.hpp"
#include "lanes/fragment.hpp"
#include "lanes/lane.hpp"
#include "os/clock.hpp"

namespace lanes::detail {

// Processes map the storage at different addresses, which are equal only within a page.
inline constexpr std::uint64_t max_alignment_between_processes = 4096;

// Totals over the lanes of a highway; kept after the highway by lanes that fragments keep. Relaxed: snapshots.
struct lane_totals {
    std::atomic<std::uint64_t> bytes_held{0};  // also of disposed lanes that fragments keep
    std::atomic<std::uint32_t> not_disposed{0};
};

class shared_core final : public lane_core {
  public:
    // Over memory without a header (null), or with the state in a header.
    shared_core(std::unique_ptr<storage_holder>, const lane_geometry&, storage_type, lane_state* between_processes);
    ~shared_core() override;

    // errc{}, and `got` is the fragment; or the error. Not a result, because several layers would each copy it.
    errc allocate(std::uint64_t bytes, std::uint64_t alignment, unsigned tries, fragment::parts& got) noexcept;
    errc release(fragment_stamp) noexcept override;
    storage_type type() const noexcept override { return type_; }

    result<void> set_closed(bool closed) noexcept;
    void dispose() noexcept;
    bool disposed() const noexcept { return local_.load().disposed(); }
    result<std::uint64_t> force_reset(bool close) noexcept;

    // Gives the memory of a lane without fragments back to the system; 0 if there are any.
    std::uint64_t purge() noexcept;

    // Zero for a disposed lane between processes.
    lane_word word() const noexcept;
    std::uint64_t cycle() const noexcept;
    std::uint64_t offset() const noexcept { return offset_of(word()); }
    std::uint64_t capacity() const noexcept { return geometry_.capacity; }
    storage_holder* holder() const noexcept { return storage_.get(); }  // while the lane is not disposed
    std::span<std::byte> bytes() const noexcept { return {geometry_.data, geometry_.capacity}; }
    std::chrono::steady_clock::time_point last_allocation() const noexcept;
    bool between_processes() const noexcept { return state_ != &local_; }

    // Between processes only.
    result<fragment_token> send(fragment&&) noexcept;
    result<fragment> receive(const fragment_token&) noexcept;
    result<std::span<std::byte>> look(const fragment_token&) const noexcept;

    // What a reopened file holds, and the forced resets of its state then. Before the lane is shared.
    void set_contents(std::uint64_t bytes, std::uint8_t forced) noexcept {
        contents_.store(bytes, std::memory_order_relaxed);
        contents_forced_ = forced;
    }
    fragment take_contents() noexcept;

    // Registers the handlers of fork. Handlers registered later run before these, so the locks of lanes are taken last.
    static void know_fork() noexcept;
    // In the child of fork: live fragments belong to the parent.
    void disown_fragments() noexcept;

    // For lanes of a highway: the index, and the disposed lane that it replaces. Set before other threads see the lane.
    std::size_t index = 0;
    shared_core* replaced = nullptr;

    // Adds the lane with so many bytes to the totals; its destructor subtracts them. Before the lane is shared.
    void counted_in(std::shared_ptr<lane_totals>, std::uint64_t bytes) noexcept;
    std::uint64_t counted_bytes() const noexcept { return counted_bytes_; }

    // Keeps the storage as long as it lives; false for a disposed lane. It is not counted as a fragment.
    class pin {
      public:
        explicit pin(const shared_core& core) noexcept
            : core_(const_cast<shared_core&>(core)), held_(!core_.disposed() && core_.hold_storage()) {}
        ~pin() {
            if (held_) core_.release_storage_reference();
        }
        pin(const pin&) = delete;
        explicit operator bool() const noexcept { return held_; }

      private:
        shared_core& core_;
        bool held_;
    };

  private:
    errc why_no_access(fragment_stamp) const noexcept override;
    void storage_unused() noexcept override;
    // After each change of flags or forced resets; not between processes, where others change them.
    void note_access() noexcept;

    // Adds or subtracts one in the count that keeps the storage. Returns the forced resets of this process's word.
    result<std::uint8_t> count_locally() noexcept;
    errc uncount_locally(std::uint8_t forced) noexcept;

    // The state lies in the core, or in the storage, which must be kept while it is read.
    template <class T, class F>
    T with_state(T otherwise, F&& f) const noexcept {
        if (!between_processes()) return f(*state_);
        pin held(*this);
        return held ? f(*state_) : otherwise;
    }
    std::uint64_t offset_of(lane_word) const noexcept;

    struct sent_range {
        std::byte* data;
        std::uint8_t forced;
    };
    result<sent_range> find_sent(const fragment_token&) const noexcept;

    errc allocate_between_processes(std::uint64_t bytes, std::uint64_t alignment, unsigned tries,
                                    fragment::parts& got) noexcept;

    // Reading the clock is a third of an allocation's cost, so small ones share a reading.
    auto noting_the_time() noexcept {
        return [this] { last_allocation_ns_.store(os::coarse_clock_ns(), std::memory_order_relaxed); };
    }

    // A fragment's parts, stamped with the forced resets of this process and, between processes, of the header.
    fragment::parts parts_of(std::byte* data, std::uint64_t bytes, std::uint8_t local, std::uint8_t forced) noexcept {
        return {data, bytes, this, static_cast<fragment_stamp>(local | forced << 8)};
    }

    lane_state* const state_;  // &local_, or in the header
    const lane_geometry geometry_;
    std::unique_ptr<storage_holder> storage_;
    const storage_type type_;
    std::uint8_t oldest_orphan_ = 0;  // forced resets when there were no orphans last; under the lock of force_reset
    std::atomic<std::uint64_t> contents_{0};
    std::uint8_t contents_forced_ = 0;
    std::shared_ptr<lane_totals> totals_;  // null: counted nowhere
    std::uint64_t counted_bytes_ = 0;

    alignas(64) lane_state local_;
    std::atomic<std::uint64_t> last_allocation_ns_{0};
};

}  // namespace lanes::detail
