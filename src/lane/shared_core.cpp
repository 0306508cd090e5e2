// Allocating from, releasing to and ending a lane that threads or processes share.
#include "lane/shared_core.hpp"

#include <pthread.h>

#include <algorithm>
#include <mutex>
#include <new>
#include <vector>

#include "lane/lane_header.hpp"
#include "lane/ranked_mutex.hpp"

namespace lanes::detail {
namespace {

// State that all lanes of the process share; its locks are free in a child of fork.
struct registry {
    // One forced reset at a time: they are rare, and each checks the orphans of earlier ones. Taken before `mutex`.
    ranked_mutex forcing{lock_rank::forcing};
    ranked_mutex mutex{lock_rank::registry};
    std::vector<shared_core*> cores;         // those between processes
    ranked_mutex noting{lock_rank::noting};  // of class noting

    static registry& instance() {
        // Never destroyed: lanes may end after all static objects. Not on the heap: the first lane may end when there
        // is no memory.
        alignas(registry) static std::byte place[sizeof(registry)];
        static registry* the = [] {
            auto* made = new (place) registry;
            pthread_atfork([] { instance().lock(); }, [] { instance().unlock(); },
                           [] {
                               for (shared_core* core : instance().cores) core->disown_fragments();
                               instance().unlock();
                           });
            return made;
        }();
        return *the;
    }
    void lock() {
        forcing.lock();
        mutex.lock();
        noting.lock();
    }
    void unlock() {
        noting.unlock();
        mutex.unlock();
        forcing.unlock();
    }

    void add(shared_core* core) {
        std::lock_guard hold(mutex);
        cores.push_back(core);
    }
    void remove(shared_core* core) {
        std::lock_guard hold(mutex);
        std::erase(cores, core);
    }
};

// Held while a lane's flags or forced resets change, so that the note always matches the last change, in a child of
// fork too.
class noting {
  public:
    noting() : hold_(registry::instance().noting) {}

  private:
    std::lock_guard<ranked_mutex> hold_;
};

}  // namespace

shared_core::shared_core(std::unique_ptr<storage_holder> storage, const lane_geometry& geometry, storage_type type,
                         lane_state* between)
    : state_(between != nullptr ? between : &local_), geometry_(geometry), storage_(std::move(storage)), type_(type) {
    if (between_processes())
        registry::instance().add(this);
    else
        usable_with(0);
}

shared_core::~shared_core() = default;

void shared_core::know_fork() noexcept { registry::instance(); }

void shared_core::storage_unused() noexcept {
    if (between_processes()) registry::instance().remove(this);
    storage_.reset();
    if (totals_ != nullptr) totals_->bytes_held.fetch_sub(counted_bytes_, std::memory_order_relaxed);
}

void shared_core::counted_in(std::shared_ptr<lane_totals> totals, std::uint64_t bytes) noexcept {
    totals_ = std::move(totals);
    counted_bytes_ = bytes;
}

errc shared_core::allocate(std::uint64_t bytes, std::uint64_t alignment, unsigned tries,
                           fragment::parts& got) noexcept {
    if (errc e = check_request(bytes, alignment, geometry_.capacity); e != errc{}) return e;
    if (between_processes()) return allocate_between_processes(bytes, alignment, tries, got);
    result<taken_range> taken = take_range(local_, geometry_, bytes, alignment, tries, noting_the_time());
    if (!taken) return taken.error();
    got = parts_of(taken->data, bytes, taken->forced, 0);
    return errc{};
}

errc shared_core::allocate_between_processes(std::uint64_t bytes, std::uint64_t alignment, unsigned tries,
                                             fragment::parts& got) noexcept {
    if (alignment > max_alignment_between_processes) return errc::bad_alignment;
    result<std::uint8_t> local = count_locally();
    if (!local) return local.error();
    result<taken_range> taken = take_range(*state_, geometry_, bytes, alignment, tries, noting_the_time());
    if (!taken) {
        uncount_locally(*local);
        return taken.error();
    }
    got = parts_of(taken->data, bytes, *local, taken->forced);
    return errc{};
}

errc shared_core::release(fragment_stamp stamp) noexcept {
    auto own = static_cast<std::uint8_t>(stamp);
    errc said = errc{};
    if (between_processes()) {
        lane_word local = local_.load();
        // Another number of forced resets here: the fragment is a forked child's copy, which the parent releases. And
        // fragments alive when a file's lane is disposed stay in the file.
        bool stays = local.forced() != own || (type_ == storage_type::file && local.disposed());
        if (!stays) said = release_range(*state_, static_cast<std::uint8_t>(stamp >> 8)).error;
    }
    errc locally = uncount_locally(own);
    return locally != errc{} ? locally : said;
}

errc shared_core::uncount_locally(std::uint8_t forced) noexcept {
    released_range released = release_range(local_, forced);
    bool last = released.error == errc::wrong_cycle ||
                (released.error == errc{} && released.after.live() == 0 && released.after.disposed());
    if (last) release_storage_reference();
    return released.error;
}

result<std::uint8_t> shared_core::count_locally() noexcept {
    lane_word now = local_.load();
    do {
        if (now.disposed()) return errc::lane_disposed;
        if (now.live() == lane_word::max_live) return errc::too_many_fragments;
    } while (!local_.swap(now, now.allocated(now.offset())));
    return now.forced();
}

void shared_core::note_access() noexcept {
    if (between_processes()) return;
    lane_word now = local_.load();
    if (now.closed() || now.disposed())
        usable_with_none();
    else
        usable_with(now.forced());
}

errc shared_core::why_no_access(fragment_stamp stamp) const noexcept {
    lane_word local = local_.load(), now = local;
    if (local.forced() != static_cast<std::uint8_t>(stamp)) return errc::wrong_cycle;
    if (between_processes()) {
        now = state_->load();  // there as long as the fragment is
        if (now.forced() != static_cast<std::uint8_t>(stamp >> 8)) return errc::wrong_cycle;
    }
    if (local.disposed()) return errc::lane_disposed;
    return now.closed() ? errc::lane_closed : errc{};
}

result<void> shared_core::set_closed(bool closed) noexcept {
    if (disposed()) return errc::lane_disposed;
    std::uint64_t bit = lane_word::closed_bit;
    return with_state(result<void>(errc::lane_disposed), [&](lane_state& state) {
        noting in_one_step;
        state.change_flags(closed ? bit : 0, closed ? 0 : bit);
        note_access();
        return result<void>();
    });
}

void shared_core::dispose() noexcept {
    lane_word before;
    {
        noting in_one_step;
        before = local_.change_flags(lane_word::disposed_bit | lane_word::closed_bit, 0);
        note_access();
    }
    if (before.disposed()) return;
    if (totals_ != nullptr) totals_->not_disposed.fetch_sub(1, std::memory_order_relaxed);
    if (before.live() == 0) release_storage_reference();
}

result<std::uint64_t> shared_core::force_reset(bool close) noexcept {
    std::lock_guard hold(registry::instance().forcing);
    if (disposed()) return errc::lane_disposed;
    std::uint64_t flags = close ? lane_word::closed_bit : 0;
    if (between_processes()) {
        return with_state(result<std::uint64_t>(errc::lane_disposed), [&](lane_state& state) {
            contents_.store(0, std::memory_order_relaxed);
            lane_word now = state.load();
            while (!state.swap(now, now.forced_empty().with(flags))) {
            }
            if (now.live() == 0) state.count_begun();
            return result<std::uint64_t>(now.live());
        });
    }
    lane_word now = local_.load();
    auto next = static_cast<std::uint8_t>((now.forced() + 1) & lane_word::forced_mask);
    if (!has_orphans()) {
        oldest_orphan_ = now.forced();
    } else if (next == oldest_orphan_) {
        return errc::fragments_alive;
    }
    if (!expect_orphans()) return errc::lane_disposed;
    {
        noting in_one_step;
        do {
            if (now.disposed()) {
                count_orphans(0);
                return errc::lane_disposed;
            }
        } while (!local_.swap(now, now.forced_empty().with(flags)));
        note_access();
    }
    if (now.live() == 0) local_.count_begun();
    count_orphans(now.live());
    return now.live();
}

void shared_core::disown_fragments() noexcept {
    if (!expect_orphans()) return;  // another thread of the parent was giving it up, and is not here
    lane_word now = local_.load();
    local_.word.store(now.forced_empty().bits, std::memory_order_relaxed);
    contents_.store(0, std::memory_order_relaxed);
    // A disposed lane's storage was waiting for the last of them; now it waits for the orphans.
    count_orphans(now.live());
    if (now.disposed() && now.live() != 0) release_storage_reference();
}

std::uint64_t shared_core::purge() noexcept {
    if (between_processes()) return 0;
    // Takes the whole lane like a fragment, so that no other fragment can have a byte of it, except after a forced
    // reset.
    std::lock_guard hold(registry::instance().forcing);
    lane_word now = local_.load();
    do {
        if (now.disposed() || now.live() != 0) return 0;
    } while (!local_.swap(now, now.allocated(((geometry_.capacity - 1) >> geometry_.granule_shift) + 1)));
    local_.count_begun();
    std::uint64_t purged = storage_->purge(0, geometry_.capacity);
    uncount_locally(now.forced());
    return purged;
}

lane_word shared_core::word() const noexcept {
    return with_state(lane_word{}, [](const lane_state& state) { return state.load(); });
}

std::uint64_t shared_core::cycle() const noexcept {
    return with_state(std::uint64_t{0}, [](const lane_state& state) { return state.look().cycle; });
}

std::uint64_t shared_core::offset_of(lane_word now) const noexcept {
    return std::min(now.offset() << geometry_.granule_shift, geometry_.capacity);
}

std::chrono::steady_clock::time_point shared_core::last_allocation() const noexcept {
    return std::chrono::steady_clock::time_point(
        std::chrono::nanoseconds(last_allocation_ns_.load(std::memory_order_relaxed)));
}

result<fragment_token> shared_core::send(fragment&& f) noexcept {
    if (f.empty()) return errc::not_initialised;
    if (f.core() != this || !between_processes()) return errc::not_a_lane;
    if (errc e = f.check(); e != errc{}) return e;
    fragment_token token{static_cast<std::uint64_t>(f.data() - geometry_.data), f.size(), state_->look().cycle};
    uncount_locally(static_cast<std::uint8_t>(f.detach().stamp));
    return token;
}

result<shared_core::sent_range> shared_core::find_sent(const fragment_token& token) const noexcept {
    auto [now, cycle] = state_->look();
    if (now.live() == 0) return errc::negative_reset;
    if (cycle != token.cycle) return errc::wrong_cycle;
    if (now.closed()) return errc::lane_closed;
    std::uint64_t used = offset_of(now);
    if (token.size == 0 || token.offset > used || token.size > used - token.offset) return errc::out_of_bounds;
    return sent_range{geometry_.data + token.offset, now.forced()};
}

result<std::span<std::byte>> shared_core::look(const fragment_token& token) const noexcept {
    if (!between_processes()) return errc::not_a_lane;
    pin held(*this);
    if (!held) return errc::lane_disposed;
    result<sent_range> found = find_sent(token);
    if (!found) return found.error();
    return std::span(found->data, token.size);
}

result<fragment> shared_core::receive(const fragment_token& token) noexcept {
    if (!between_processes()) return errc::not_a_lane;
    result<std::uint8_t> local = count_locally();
    if (!local) return local.error();
    result<sent_range> found = find_sent(token);
    if (found) return fragment(parts_of(found->data, token.size, *local, found->forced));
    uncount_locally(*local);
    return found.error();
}

fragment shared_core::take_contents() noexcept {
    std::uint64_t bytes = contents_.exchange(0, std::memory_order_relaxed);
    if (bytes == 0) return {};
    result<std::uint8_t> local = count_locally();
    return local ? fragment(parts_of(geometry_.data, bytes, *local, contents_forced_)) : fragment();
}

result<shared_core*> make_shared_core(std::unique_ptr<storage_holder> storage, std::byte* data, std::uint64_t size,
                                      storage_type type, bool keeps_state, bool fresh) noexcept {
    if (size == 0) return errc::size_out_of_range;
    lane_header* header = nullptr;
    lane_geometry geometry{data, size, lane_word::granule_shift(size)};
    std::uint64_t contents = 0;
    std::uint8_t forced = 0;
    if (keeps_state) {
        if (size <= header_bytes) return fresh ? errc::size_out_of_range : errc::storage_truncated;
        header = reinterpret_cast<lane_header*>(data);
        if (fresh) header->begin(size - header_bytes);
        result<lane_geometry> found = header->read(size);
        if (!found) return found.error();
        geometry = *found;
        if (!fresh && type == storage_type::file) {
            // The processes that held fragments are gone. All fragments together become one: the contents.
            lane_word was = header->state.load();
            forced = was.forced();
            contents = std::min(was.offset() << geometry.granule_shift, geometry.capacity);
            lane_word now = was.without(lane_word::closed_bit | lane_word::disposed_bit |
                                        lane_word::max_live << lane_word::live_shift);
            if (contents != 0) now = now.allocated(was.offset());
            header->state.word.store(now.bits, std::memory_order_relaxed);
        }
    }
    try {
        auto* core = new shared_core(std::move(storage), geometry, type, header != nullptr ? &header->state : nullptr);
        core->set_contents(contents, forced);
        return core;
    } catch (const std::bad_alloc&) {
        return errc::out_of_memory;
    }
}

}  // namespace lanes::detail
