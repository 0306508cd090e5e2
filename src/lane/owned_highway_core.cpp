// Lanes of a thread-owned highway: taken, found empty, mapped and given back.
#include "lane/owned_highway_core.hpp"

#include <algorithm>
#include <bit>
#include <new>

#include "os/os.hpp"

// Defined by LeakSanitizer, if the program is built with it.
extern "C" [[gnu::weak]] void __lsan_ignore_object(const void*);

namespace lanes::detail {

// How many lanes in use are looked at for having been emptied by other threads, each time a lane is needed. Guess: a
// lane serves hundreds of allocations, a look costs a cache miss.
constexpr std::size_t looked_at = 16;

// The largest lane, in bytes, that is taken for scratch memory without being asked for. Guess: one step for so many
// bytes is cheap compared with touching them.
constexpr std::uint64_t max_scratch_lane = std::uint64_t{64} << 20;

void span_lane::became_empty() noexcept { home_->emptied(*this); }

void span_lane::core_unused() noexcept {
    mapped_spans* mapping = mapping_;
    auto from = static_cast<std::uint64_t>(data() - front_bytes - mapping->storage.data());
    std::uint64_t bytes = span_bytes();
    this->~span_lane();
    // The mapping stays while it holds lanes in use; the memory of this lane goes.
    if (mapping->lanes.load(std::memory_order_relaxed) > 1) mapping->storage.purge(from, bytes);
    mapping->let_go(1);
}

owned_highway_core::owned_highway_core(const owned_highway_options& options) noexcept
    : hot_state{&nowhere_,
                static_cast<unsigned>(std::countr_zero(options.lane_bytes)),
                {thread_identity()},
                &outside,
                {.core = this}},
      options_(options),
      nowhere_(*this, nullptr, nullptr, 0),
      in_use_head_(*this, nullptr, nullptr, 0),
      empty_head_(*this, nullptr, nullptr, 0),
      empty_large_head_(*this, nullptr, nullptr, 0) {}

owned_highway_core::~owned_highway_core() {
    // By any thread; live ranges keep their lane.
    each_lane([](span_lane& lane) {
        lane_ring::remove(lane);
        lane.dispose();
        lane.let_go();
    });
    if (fresh_ != nullptr) fresh_->let_go(fresh_lanes_);
}

template <class F>
void owned_highway_core::each_lane(F&& f) {
    if (current != &nowhere_) f(*current);
    in_use_.each(f);
    empty_.each(f);
    empty_large_.each(f);
    for (span_lane* lane : scratch_lanes_) f(*lane);
}

errc owned_highway_core::check(const owned_highway_options& o) noexcept {
    bool good = is_power_of_two(o.lane_bytes) && o.lane_bytes >= std::uint64_t{64} << 10 &&
                o.lane_bytes <= max_alignment && o.max_bytes >= o.lane_bytes && o.max_bytes <= std::uint64_t{1} << 46;
    return good ? errc{} : errc::bad_option;
}

result<std::uint64_t> owned_highway_core::check_request(std::uint64_t bytes, std::uint64_t alignment) const noexcept {
    if (errc e = detail::check_request(bytes, alignment, options_.max_bytes); e != errc{}) return e;
    if (alignment > span() / 2) return errc::bad_alignment;
    return bytes + (alignment > granule ? alignment : 0);
}

result<void*> owned_highway_core::allocate(std::uint64_t bytes, std::uint64_t alignment) noexcept {
    if (!owned_by_caller()) return errc::not_the_owner;
    result<std::uint64_t> needed = check_request(bytes, alignment);
    if (!needed) return needed.error();
    if (current != &nowhere_ && current->reset_if_empty()) {
        if (void* at = current->allocate(bytes, alignment)) return at;
    }
    result<span_lane*> lane = take_lane(*needed);
    if (!lane) return lane.why();
    void* at = (*lane)->allocate(bytes, alignment);
    // A large block would waste the rest of the current lane and take most of a new one: it gets a lane of its own.
    if (*needed > usable() / 4) {
        in_use_.push_back(**lane);
    } else {
        if (current != &nowhere_) in_use_.push_back(*current);
        current = *lane;
    }
    return at;
}

void owned_highway_core::emptied(span_lane& lane) noexcept {
    lane.reset_now();
    if (&lane == current) return;
    lane_ring::remove(lane);
    put_empty(lane);
}

bool owned_highway_core::serves(const span_lane& lane, std::uint64_t bytes) const noexcept {
    if (bytes <= usable()) return lane.capacity() == usable();
    return lane.capacity() >= bytes && lane.capacity() / 2 <= bytes;
}

result<span_lane*> owned_highway_core::take_lane(std::uint64_t bytes) noexcept {
    if (span_lane* lane = take_empty(bytes)) return lane;
    if (span_lane* lane = find_emptied(bytes, looked_at)) return lane;
    auto make = [&] { return bytes <= usable() ? make_lane() : make_large_lane(bytes); };
    result<span_lane*> made = make();
    if (made) return made;
    // Before failing, every lane is checked, and the memory of empty ones is given back.
    std::uint64_t held = held_;
    if (span_lane* lane = find_emptied(bytes, ~std::size_t{0})) return lane;
    put_idle();
    if (span_lane* lane = take_empty(bytes)) return lane;
    give_up_empty();
    return held_ < held ? make() : made;
}

span_lane* owned_highway_core::take_empty(std::uint64_t bytes) noexcept {
    span_lane* found = nullptr;
    if (bytes <= usable()) {
        found = empty_.first();
    } else {
        empty_large_.each([&](span_lane& lane) {
            if (found == nullptr && serves(lane, bytes)) found = &lane;
        });
    }
    if (found == nullptr) return nullptr;
    lane_ring::remove(*found);
    kept_ -= found->span_bytes();
    return found;
}

span_lane* owned_highway_core::find_emptied(std::uint64_t bytes, std::size_t most) noexcept {
    span_lane* last = in_use_head_.previous;
    for (std::size_t i = 0; i < most && !in_use_.empty(); ++i) {
        span_lane& lane = *in_use_.first();
        lane_ring::remove(lane);
        if (lane.reset_if_empty()) {
            if (serves(lane, bytes)) return &lane;
            put_empty(lane);
        } else {
            in_use_.push_back(lane);
        }
        if (&lane == last) break;
    }
    return nullptr;
}

result<mapped_spans*> owned_highway_core::map_spans(std::uint64_t bytes, std::uint64_t lanes) noexcept {
    if (bytes > options_.max_bytes - held_) return errc::max_bytes_reached;
    auto storage = mapping_storage::try_create(
        bytes, {.alignment = span(), .huge_pages = options_.huge_pages && bytes >= 2u << 20});
    if (!storage) return storage.why();
    auto* made = new (std::nothrow) mapped_spans{*std::move(storage), {lanes}};
    if (made == nullptr) return errc::out_of_memory;
    // The only pointers to it lie in the mapping itself, which a leak checker does not scan.
    if (__lsan_ignore_object != nullptr) __lsan_ignore_object(made);
    held_ += bytes;
    return made;
}

result<span_lane*> owned_highway_core::make_lane() noexcept {
    if (fresh_lanes_ == 0) {
        std::uint64_t most = std::max<std::uint64_t>(options_.most_mapped_at_once / span(), 1);
        std::uint64_t lanes = std::min({map_next_, most, (options_.max_bytes - held_) / span()});
        if (lanes == 0) return errc::max_bytes_reached;
        result<mapped_spans*> mapped = map_spans(lanes * span(), lanes);
        // There may be address space for one lane where there is none for several.
        if (!mapped && lanes > 1) mapped = map_spans(span(), lanes = 1);
        if (!mapped) return mapped.why();
        fresh_ = *mapped;
        fresh_at_ = fresh_->storage.data();
        fresh_lanes_ = lanes;
        map_next_ = std::min(map_next_ * 2, most);
    }
    std::byte* base = std::exchange(fresh_at_, fresh_at_ + span());
    --fresh_lanes_;
    mapped_spans* mapping = fresh_;
    if (fresh_lanes_ == 0) fresh_ = nullptr;
    return make_lane_at(base, mapping, span());
}

result<span_lane*> owned_highway_core::make_large_lane(std::uint64_t bytes) noexcept {
    std::uint64_t size = os::whole_pages(bytes + span_lane::front_bytes);  // what is mapped, and so what is held
    result<mapped_spans*> mapped = map_spans(size, 1);
    if (!mapped) return mapped.why();
    return make_lane_at((*mapped)->storage.data(), *mapped, size);
}

span_lane* owned_highway_core::make_lane_at(std::byte* base, mapped_spans* mapping, std::uint64_t bytes) noexcept {
    return new (span_lane::of(base, span_shift))
        span_lane(*this, mapping, base + span_lane::front_bytes, bytes - span_lane::front_bytes);
}

std::uint64_t owned_highway_core::put_empty(span_lane& lane) noexcept {
    bool large = lane.capacity() != usable();
    bool keep = lane.span_bytes() <= options_.keep_bytes && kept_ <= options_.keep_bytes - lane.span_bytes();
    if (keep) {
        kept_ += lane.span_bytes();
        (large ? empty_large_ : empty_).push_front(lane);  // the warmest first
        return 0;
    }
    return give_up(lane);
}

std::uint64_t owned_highway_core::put_idle() noexcept {
    std::uint64_t bytes = 0;
    if (current != &nowhere_ && current->reset_if_empty()) bytes += put_empty(*std::exchange(current, &nowhere_));
    if (!scratch_in_use()) {
        for (span_lane* lane : scratch_lanes_) bytes += put_empty(*lane);
        scratch_lanes_.clear();
        scratch_bytes_ = 0;
        outside.cursor = outside.end = 0;
    }
    return bytes;
}

std::uint64_t owned_highway_core::give_up_empty() noexcept {
    std::uint64_t held = held_;
    auto give_up_one = [&](span_lane& lane) {
        lane_ring::remove(lane);
        give_up(lane);
    };
    empty_.each(give_up_one);
    empty_large_.each(give_up_one);
    kept_ = 0;
    if (fresh_ != nullptr) {
        held_ -= fresh_lanes_ * span();
        std::exchange(fresh_, nullptr)->let_go(std::exchange(fresh_lanes_, 0));
    }
    return held - held_;
}

std::uint64_t owned_highway_core::give_up(span_lane& lane) noexcept {
    std::uint64_t bytes = lane.span_bytes();
    held_ -= bytes;
    lane.dispose();
    lane.let_go();
    return bytes;
}

namespace {

std::uintptr_t begin_of(const span_lane& lane) { return reinterpret_cast<std::uintptr_t>(lane.data()); }
std::uintptr_t end_of(const span_lane& lane) { return begin_of(lane) + lane.capacity(); }

// The place of scopes that found no lane: their cursors are no addresses, and the end holds the number of lanes.
constexpr std::uintptr_t nowhere = std::uintptr_t{1} << 62;
constexpr std::uintptr_t end_without_lane(std::size_t lanes) { return lanes << 1 | 1; }

}  // namespace

result<span_lane*> owned_highway_core::enter_scratch_lane(std::uint64_t bytes) noexcept {
    try {
        scratch_lanes_.reserve(scratch_lanes_.size() + 1);  // first, so that recording the lane cannot fail
    } catch (const std::bad_alloc&) {
        return errc::out_of_memory;
    }
    // Lanes double what there is, so that a scope is left in few steps.
    std::uint64_t wanted = bytes;
    if (scratch_lanes_.size() >= 4) wanted = std::max(wanted, std::min(scratch_bytes_, max_scratch_lane));
    result<span_lane*> lane = take_lane(wanted);
    if (!lane && wanted > bytes) lane = take_lane(bytes);
    if (!lane) return lane.why();
    scratch_lanes_.push_back(*lane);
    scratch_bytes_ += (*lane)->capacity();
    return *lane;
}

result<void*> owned_highway_core::allocate_scratch(scratch_place& place, std::uint64_t bytes,
                                                   std::uint64_t alignment) noexcept {
    result<std::uint64_t> needed = check_request(std::max<std::uint64_t>(bytes, 1), alignment);
    if (!needed) return needed.error();
    result<span_lane*> lane = enter_scratch_lane(*needed + granule);
    if (!lane) return lane.why();
    // Not at its beginning, where the cursor is only when no scope is open.
    std::uintptr_t at = (begin_of(**lane) + granule + (alignment - 1)) & ~(alignment - 1);
    place.cursor = whole_granules(at + bytes);
    place.end = end_of(**lane);
    return reinterpret_cast<void*>(at);
}

scratch_beginning owned_highway_core::begin_scope_elsewhere(scratch_place& place) noexcept {
    scratch_beginning began{place.cursor, place.end, 0};
    bool first = !scratch_in_use();
    if (result<span_lane*> lane = enter_scratch_lane(granule); lane) {
        place.cursor = begin_of(**lane) + granule;
        place.end = end_of(**lane);
        // The highway's own place keeps a lane between scopes, so that most scopes neither enter nor leave one.
        if (first) began = {begin_of(**lane), place.end, 0};
    } else {
        place.cursor = place.cursor < nowhere ? nowhere : place.cursor + granule;
        place.end = end_without_lane(scratch_lanes_.size());
    }
    began.top = place.cursor;
    return began;
}

void owned_highway_core::leave_scratch_lanes(scratch_place& place, std::uintptr_t cursor, std::uintptr_t end) noexcept {
    auto is_last = [&] {
        if (scratch_lanes_.empty()) return true;
        return (end & 1) != 0 ? end_without_lane(scratch_lanes_.size()) == end : end_of(*scratch_lanes_.back()) == end;
    };
    while (!is_last()) {
        span_lane& lane = *scratch_lanes_.back();
        scratch_lanes_.pop_back();
        scratch_bytes_ -= lane.capacity();
        put_empty(lane);
    }
    place.cursor = cursor;
    place.end = end;
}

// Scopes are not counted, but each has moved the cursor of its place, or lies in a frame.
bool owned_highway_core::scratch_in_use() const noexcept {
    auto idle = scratch_lanes_.empty() ? 0 : begin_of(*scratch_lanes_.front());
    return innermost != &outside || outside.cursor != idle;
}

std::size_t owned_highway_core::frames_open() const noexcept {
    std::size_t count = 0;
    for (const scratch_place* place = innermost; place != &outside; place = place->around) ++count;
    return count;
}

std::uint64_t owned_highway_core::trim() noexcept {
    std::uint64_t purged = put_idle();
    in_use_.each([&](span_lane& lane) {
        if (!lane.reset_if_empty()) return;
        lane_ring::remove(lane);
        purged += put_empty(lane);
    });
    return purged + give_up_empty();
}

void owned_highway_core::adopt() noexcept {
    owner.store(thread_identity(), std::memory_order_relaxed);
    nowhere_.adopt();
    each_lane([](span_lane& lane) { lane.adopt(); });
}

std::size_t owned_highway_core::lane_count() const noexcept {
    std::size_t count = (current != &nowhere_ ? 1 : 0) + scratch_lanes_.size();
    in_use_.each([&](span_lane&) { ++count; });
    return count;
}

std::uint64_t owned_highway_core::live() const noexcept {
    std::uint64_t live = current->live();
    in_use_.each([&](span_lane& lane) { live += lane.live(); });
    return live;
}

}  // namespace lanes::detail
