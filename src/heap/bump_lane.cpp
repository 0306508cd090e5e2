// A thread's bump lane: allocation by its owner, frees by any thread.

#include "heap/bump_lane.hpp"

#include <bit>

#include "heap/survey.hpp"
#include "stats/stats_page.hpp"

namespace lanes::heap {
namespace {

constexpr std::uint32_t granule_bytes = base::alignment;
constexpr std::uint32_t granules = bump_bytes / granule_bytes;

// A bit per granule, in the second lines of four records.
class granule_map {
  public:
    explicit granule_map(slice_record* first) : first_(first) {}
    std::atomic<std::uint64_t>& word(std::uint32_t i) const { return bump_map_of(first_ + i / 8).words[i % 8]; }
    std::atomic<std::uint64_t>& word_of(std::uint32_t granule) const { return word(granule / 64); }
    static std::uint64_t bit_of(std::uint32_t granule) { return std::uint64_t{1} << granule % 64; }

  private:
    slice_record* first_;
};

constexpr std::uint32_t map_words = granules / 64;
constexpr std::uint32_t map_records = map_words / 8;
static_assert(2 * map_records == bump_slices - 1);

// An object was placed at the granule since the last reset; and it has not been freed.
granule_map starts_of(const slice_record* lane) { return granule_map(const_cast<slice_record*>(lane) + 1); }
granule_map live_of(const slice_record* lane) { return granule_map(const_cast<slice_record*>(lane) + 1 + map_records); }

// state: how many objects are alive, and whether the owner has gone.
constexpr std::uint64_t owner_gone = std::uint64_t{1} << 32;

// Lanes that a few objects keep after their thread has ended. They are not filled again, so when there are many,
// threads are short-lived here and leave survivors: then slot lanes, which others can adopt, are the better place.
constinit std::atomic<std::int32_t> left_behind{0};
constexpr std::int32_t max_left_behind = 16;

std::uint32_t granule_of(const void* object) {
    return static_cast<std::uint32_t>((reinterpret_cast<std::uintptr_t>(object) & (base::slice_bytes - 1)) /
                                      base::alignment);
}

bool starts_live(const void* object, const slice_record* lane) {
    std::uint32_t g = granule_of(object);
    if (reinterpret_cast<std::uintptr_t>(object) % base::alignment != 0 || g >= granules) return false;
    return (live_of(lane).word_of(g).load(std::memory_order_relaxed) & granule_map::bit_of(g)) != 0;
}

void give_bump_lane(slice_record* lane) {
    lane->owner.store(nullptr, std::memory_order_relaxed);
    lane->kind.store(slice_kind::none, std::memory_order_relaxed);
    for (std::uint32_t i = 1; i < bump_slices; ++i) lane[i].kind.store(slice_kind::none, std::memory_order_relaxed);
    stats::uncount(stats::page->slot_lane_bytes, base::slice_bytes);
    slice_index first = ground::index_of(lane);
    ground::give(first, bump_slices, ground::touching::first_as_told);
}

bool open_bump_lane(thread_heap* heap) {
    if (ground::scarce() || left_behind.load(std::memory_order_relaxed) > max_left_behind) return false;
    ground::run taken = ground::take(bump_slices, ground::touching::first_as_told, ground::density::unknown);
    if (taken.first == 0) return false;
    slice_record* lane = ground::record_of(taken.first);
    exactness_of(lane) = {};
    bump_lane_of(lane).state.store(0, std::memory_order_relaxed);
    bump_lane_of(lane).filled = 0;
    lane->size_class = no_class;
    for (std::uint32_t i = 1; i < bump_slices; ++i) {
        lane[i].first = taken.first;
        for (auto& word : bump_map_of(lane + i).words) word.store(0, std::memory_order_relaxed);
        lane[i].kind.store(slice_kind::bump_tail, std::memory_order_relaxed);
    }
    lane->kind.store(slice_kind::bump_lane, std::memory_order_relaxed);
    lane->owner.store(heap, std::memory_order_release);
    heap->bump_lane = taken.first;
    stats::count(stats::page->slot_lane_bytes, base::slice_bytes);
    return true;
}

void reset(slice_record* lane) {
    granule_map starts = starts_of(lane);
    for (std::uint32_t i = 0; i < map_words; ++i) starts.word(i).store(0, std::memory_order_relaxed);
    bump_lane_of(lane).filled = 0;
}

std::uint32_t bytes_at(std::uint32_t granule, const slice_record* lane) {
    granule_map starts = starts_of(lane);
    std::uint32_t at = granule + 1;
    std::uint32_t end = __atomic_load_n(&bump_lane_of(lane).filled, __ATOMIC_ACQUIRE) / granule_bytes;
    while (at < end) {
        std::uint64_t word = starts.word_of(at).load(std::memory_order_relaxed) >> at % 64;
        if (word != 0) {
            at += static_cast<std::uint32_t>(std::countr_zero(word));
            break;
        }
        at = (at / 64 + 1) * 64;
    }
    if (at > end) at = end;
    if (at < granule) at = granule;  // the owner has emptied the lane while a survey reads it
    return (at - granule) * static_cast<std::uint32_t>(base::alignment);
}

}  // namespace

void* allocate_bumped(thread_heap* heap, unsigned c) {
    std::uint32_t bytes = base::class_bytes[c];
    if (heap->bumped[c] >= bump_share || bytes > max_bump_object_bytes) return nullptr;
    if (heap->bumped[c] > 0 && heap->bumped[c] + bytes > bump_share) return nullptr;
    if (heap->bump_lane == 0 && !open_bump_lane(heap)) return nullptr;
    slice_record* lane = ground::record_of(heap->bump_lane);
    std::uint32_t at = bump_lane_of(lane).filled;
    if (at + bytes > bump_bytes) {
        // Not before it is full, so that an object freed twice has no new owner at once. Acquire: pairs with the
        // release of the last object, whose bytes are about to be used again.
        if (bump_lane_of(lane).state.load(std::memory_order_acquire) != 0) return nullptr;
        reset(lane);
        at = 0;
    }
    heap->bumped[c] = static_cast<std::uint16_t>(heap->bumped[c] + bytes);
    ground::touch(lane, static_cast<std::uint32_t>((at + bytes + ground::page_unit - 1) / ground::page_unit));
    std::uint32_t g = at / granule_bytes;
    starts_of(lane).word_of(g).fetch_or(granule_map::bit_of(g), std::memory_order_relaxed);
    live_of(lane).word_of(g).fetch_or(granule_map::bit_of(g), std::memory_order_relaxed);
    // Release, and after the start: else the object before would seem to reach to the new end (bytes_at).
    __atomic_store_n(&bump_lane_of(lane).filled, at + bytes, __ATOMIC_RELEASE);
    bump_lane_of(lane).state.fetch_add(1, std::memory_order_relaxed);
    auto object = reinterpret_cast<free_slot*>(ground::address_of(lane) + at);
    stats::count(stats::page->slots_allocated);
    object->link = 0;  // as any slot that is handed out
    return object;
}

bool was_bumped(const void* object, const slice_record* lane) {
    std::uint32_t g = granule_of(object);
    if (reinterpret_cast<std::uintptr_t>(object) % base::alignment != 0 || g >= granules) return false;
    return (starts_of(lane).word_of(g).load(std::memory_order_relaxed) & granule_map::bit_of(g)) != 0;
}

bool free_bumped(void* object, slice_record* lane) {
    if (!starts_live(object, lane)) return false;
    std::uint32_t g = granule_of(object);
    std::uint64_t bit = granule_map::bit_of(g);
    std::uint32_t bytes = bytes_at(g, lane);
    if ((live_of(lane).word_of(g).fetch_and(~bit, std::memory_order_relaxed) & bit) == 0) return false;
    stats::count(stats::page->slots_freed);
    stats::count(stats::page->bytes_slots_freed, bytes);
    // Release: what this thread did with the object comes before its memory is used again.
    if (bump_lane_of(lane).state.fetch_sub(1, std::memory_order_acq_rel) == owner_gone + 1) {
        left_behind.fetch_sub(1, std::memory_order_relaxed);
        give_bump_lane(lane);
    }
    return true;
}

std::size_t bumped_bytes(const void* object, slice_record* lane) {
    return starts_live(object, lane) ? bytes_at(granule_of(object), lane) : 0;
}

void abandon_bump_lane(thread_heap* heap) {
    for (std::uint16_t& bytes : heap->bumped) bytes = 0;
    if (heap->bump_lane == 0) return;
    slice_record* lane = ground::record_of(heap->bump_lane);
    heap->bump_lane = 0;
    lane->owner.store(nullptr, std::memory_order_relaxed);
    left_behind.fetch_add(1, std::memory_order_relaxed);
    if (bump_lane_of(lane).state.fetch_or(owner_gone, std::memory_order_acq_rel) != 0) return;
    left_behind.fetch_sub(1, std::memory_order_relaxed);
    give_bump_lane(lane);
}

void survey_bump_lane(const slice_record* lane, survey_totals& totals) {
    ++totals.slot_lanes;
    totals.slot_lane_bytes += base::slice_bytes;
    for (std::uint32_t w = 0; w < map_words; ++w) {
        std::uint64_t live = live_of(lane).word(w).load(std::memory_order_relaxed);
        for (; live != 0; live &= live - 1) {
            std::uint32_t g = w * 64 + static_cast<std::uint32_t>(std::countr_zero(live));
            std::uint32_t bytes = bytes_at(g, lane);
            ++totals.live_slots;
            totals.live_slot_bytes += bytes;
            if (bytes <= max_bump_object_bytes) ++totals.slots_of[base::class_of(bytes)];
        }
    }
}

}  // namespace lanes::heap
