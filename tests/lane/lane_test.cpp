// The lane that threads share, used by one thread: what it hands out, counts, refuses and keeps.
#include "lanes/lane.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "lane/shared_core.hpp"
#include "tests/lane/lane_model.hpp"

namespace {

using namespace lanes;
using namespace lanes::test;

static_assert(!std::is_copy_constructible_v<heap_lane> && std::is_nothrow_move_constructible_v<heap_lane>);
static_assert(std::is_copy_constructible_v<lane_ref>);

TEST(lane, hands_out_one_range_behind_the_other) {
    heap_lane lane(1024);
    EXPECT_EQ(lane.capacity(), 1024u);
    EXPECT_EQ(lane.free_space(), 1024u);
    fragment a = lane.allocate(1), b = lane.allocate(16), c = lane.allocate(17), d = lane.allocate(5);
    std::byte* base = lane.bytes().data();
    EXPECT_EQ(a.data(), base);
    EXPECT_EQ(b.data(), base + 16) << "a fragment costs its bytes, rounded up to 16";
    EXPECT_EQ(c.data(), base + 32);
    EXPECT_EQ(d.data(), base + 64);
    EXPECT_EQ(lane.offset(), 80u);
    EXPECT_EQ(lane.free_space(), 944u);
    EXPECT_EQ(lane.live(), 4u);
    EXPECT_EQ(lane.cycle(), 0u);
}

TEST(lane, the_last_release_resets_it_and_no_other_does) {
    heap_lane lane(1024);
    for (std::uint64_t cycle = 0; cycle < 1000; ++cycle) {
        fragment a = lane.allocate(100), b = lane.allocate(100);
        ASSERT_EQ(lane.cycle(), cycle);
        a.release();
        ASSERT_EQ(lane.offset(), 224u) << "room comes back with the last one only";
        ASSERT_EQ(lane.live(), 1u);
        ASSERT_EQ(lane.cycle(), cycle);
        b.release();
        ASSERT_EQ(lane.offset(), 0u);
        ASSERT_EQ(lane.live(), 0u);
        ASSERT_EQ(lane.cycle(), cycle + 1) << "beyond what the word holds of it, too";
    }
}

TEST(lane, is_used_to_its_last_byte) {
    for (std::uint64_t capacity : capacities_of_all_kinds) {
        counted_lane lane(capacity);
        ASSERT_EQ(lane.capacity(), capacity);
        fragment all = lane.allocate(capacity);
        mark(all, capacity);
        EXPECT_EQ(lane.free_space(), 0u);
        EXPECT_EQ(lane.offset(), capacity);
        EXPECT_EQ(lane.try_allocate(1).error(), errc::lane_full);
        EXPECT_EQ(lane.try_allocate(1, 1).error(), errc::lane_full);
        EXPECT_TRUE(is_marked(all, capacity));
    }
}

TEST(lane, refuses_sizes_and_alignments_that_no_state_of_it_could_serve) {
    heap_lane lane(1000);
    auto refuses_them = [&] { expect_impossible_requests_refused(lane, 1000); };
    refuses_them();
    EXPECT_EQ(lane.live(), 0u);
    fragment most = lane.allocate(1000);
    refuses_them();
    lane.close();
    refuses_them();
    lane.dispose();
    refuses_them();
}

TEST(lane, places_fragments_at_every_alignment_wherever_its_bytes_begin) {
    for (std::uint64_t skew : skews_of_storage) {
        counted_lane lane(std::uint64_t{3} << 20, counted_storage::options{.alignment = 64, .skew = skew});
        expect_every_alignment_kept(lane);
        if (HasFatalFailure()) return;
        EXPECT_EQ(lane.offset(), 0u);
    }
}

TEST(lane, an_alignment_beyond_its_end_is_a_full_lane) {
    // The next multiple of 1 GiB lies behind the lane, or leaves no room in it.
    basic_lane<address_storage> lane(4096, address_storage::options{.alignment = 1u << 30, .past = 4096});
    EXPECT_EQ(lane.try_allocate(1, 1u << 30).error(), errc::lane_full);
    EXPECT_EQ(lane.try_allocate(1, 8192).error(), errc::lane_full);
    basic_lane<address_storage> crossing(8192,
                                         address_storage::options{.alignment = 1u << 30, .past = (1u << 30) - 4096});
    EXPECT_EQ(crossing.try_allocate(4097, 1u << 30).error(), errc::lane_full);
    fragment f = crossing.allocate(4096, 1u << 30);
    EXPECT_EQ(number(f.data()) % (1u << 30), 0u);
}

TEST(lane, just_below_and_above_4_gib_reaches_its_last_byte) {
    for (std::int64_t beside : {-32, -31, -17, -16, -15, -8, -1, 0, 1, 15, 16, 17, 31, 32, 33}) {
        std::uint64_t capacity = (std::uint64_t{1} << 32) + static_cast<std::uint64_t>(beside);
        basic_lane<address_storage> lane(capacity);
        fragment most = lane.allocate(capacity - 100), a = lane.allocate(1, 1);
        ASSERT_EQ(lane.live(), 2u) << capacity;
        fragment rest = lane.allocate(capacity - lane.offset(), 1);
        ASSERT_EQ(lane.live(), 3u) << capacity;
        ASSERT_EQ(lane.offset(), capacity);
        ASSERT_EQ(lane.try_allocate(1, 1).error(), errc::lane_full);
        ASSERT_EQ(rest.data() + rest.size(), lane.bytes().data() + capacity);
        most.release(), a.release(), rest.release();
        ASSERT_EQ(lane.live(), 0u);
        ASSERT_EQ(lane.offset(), 0u);
        fragment all = lane.allocate(capacity);
        ASSERT_EQ(lane.live(), 1u) << capacity;
        ASSERT_EQ(lane.offset(), capacity);
    }
}

TEST(lane, of_64_tib_reaches_its_last_byte) {
    if (sanitized) GTEST_SKIP() << "the sanitizer's shadow leaves no such address space";
    constexpr std::uint64_t most = heap_lane::max_capacity;
    auto made = basic_lane<address_storage>::try_create(most);
    if (!made) GTEST_SKIP() << "no such address space";
    basic_lane<address_storage> lane = *std::move(made);
    fragment a = lane.allocate(1), b = lane.allocate(most - lane.offset());
    EXPECT_EQ(lane.live(), 2u);
    EXPECT_EQ(lane.offset(), most);
    EXPECT_EQ(b.data() + b.size(), lane.bytes().data() + most);
    EXPECT_EQ(lane.try_allocate(1, 1).error(), errc::lane_full);
}

TEST(lane, capacities_of_nothing_or_too_much_are_refused) {
    EXPECT_EQ(heap_lane::try_create(0).error(), errc::size_out_of_range);
    EXPECT_EQ(heap_lane::try_create(heap_lane::max_capacity + 1).error(), errc::size_out_of_range);
    EXPECT_EQ(heap_lane::try_create(wrapped).error(), errc::size_out_of_range);
    EXPECT_EQ(memfd_lane::try_create(wrapped - 127).error(), errc::size_out_of_range) << "with the header it wraps";
    EXPECT_EQ(thrown_by([] { heap_lane lane(0); }), errc::size_out_of_range);
    EXPECT_EQ(heap_lane::try_create(64, {.alignment = 3}).error(), errc::bad_alignment) << "the storage's own errors";
}

TEST(lane, over_a_storage_that_was_moved_from_is_refused) {
    counted_storage full = counted_storage::try_create(64, {}).value();
    counted_storage other(std::move(full));
    EXPECT_EQ(counted_lane::try_over(std::move(full)).error(), errc::size_out_of_range);
}

TEST(lane, has_a_storage_until_it_is_empty) {
    counted_lane lane(counted_storage::try_create(64, {}).value());
    ASSERT_NE(lane.storage(), nullptr);
    EXPECT_EQ(lane.storage()->data(), lane.bytes().data());
    EXPECT_EQ(lane.storage()->size(), 64u);
    counted_lane other(std::move(lane));
    EXPECT_EQ(lane.storage(), nullptr);
    EXPECT_NE(other.storage(), nullptr);
}

void expect_empty(lane_ref lane) {
    std::istringstream stream("x");
    EXPECT_EQ(lane.try_allocate(8).error(), errc::not_initialised);
    EXPECT_EQ(lane.try_close().error(), errc::not_initialised);
    EXPECT_EQ(lane.try_reopen().error(), errc::not_initialised);
    EXPECT_EQ(lane.try_force_reset().error(), errc::not_initialised);
    EXPECT_EQ(lane.try_fill_from(stream, 1).error(), errc::not_initialised);
    EXPECT_EQ(lane.try_fill_from(0, 1).error(), errc::not_initialised);
    EXPECT_EQ(lane.try_send({}).error(), errc::not_initialised);
    EXPECT_EQ(lane.try_receive({}).error(), errc::not_initialised);
    EXPECT_EQ(lane.try_look({}).error(), errc::not_initialised);
    EXPECT_TRUE(lane.contents().empty());
    EXPECT_TRUE(lane.bytes().empty());
    EXPECT_EQ(lane.capacity() + lane.offset() + lane.free_space() + lane.live() + lane.cycle(), 0u);
    EXPECT_FALSE(lane.closed() || lane.disposed());
    EXPECT_EQ(lane.type(), storage_type::slot);
    EXPECT_EQ(lane.last_allocation().time_since_epoch().count(), 0);
    EXPECT_EQ(lane.trace(), "empty lane");
    lane.dispose();
    EXPECT_FALSE(lane.disposed());
}

TEST(lane, an_empty_one_refuses_everything) {
    expect_empty(lane());
    expect_empty(heap_lane());
    expect_empty(lane_ref());
    heap_lane from(64);
    heap_lane to(std::move(from));
    expect_empty(from);
    EXPECT_EQ(to.capacity(), 64u);
}

TEST(lane, a_move_takes_the_lane_and_an_assignment_disposes_of_the_old_one) {
    counted_lane a(1024), b(2048);
    EXPECT_EQ(counted_storage::alive(), 2);
    fragment of_a = a.allocate(10), of_b = b.allocate(10);
    a = std::move(b);
    expect_empty(b);
    EXPECT_EQ(a.capacity(), 2048u);
    EXPECT_EQ(a.live(), 1u);
    EXPECT_EQ(of_a.check(), errc::lane_disposed);
    EXPECT_EQ(of_b.check(), errc{});
    counted_lane& same = a;
    a = std::move(same);
    EXPECT_EQ(of_b.check(), errc{});
    lane any(std::move(a));
    EXPECT_EQ(any.capacity(), 2048u);
    EXPECT_EQ(counted_storage::alive(), 2);
    of_a.release();
    EXPECT_EQ(counted_storage::alive(), 1);
    any = lane();
    EXPECT_EQ(counted_storage::alive(), 1);
    of_b.release();
    EXPECT_EQ(counted_storage::alive(), 0);
}

TEST(lane, knows_when_it_was_last_allocated_from) {
    heap_lane lane(64);
    using clock = std::chrono::steady_clock;
    EXPECT_EQ(lane.last_allocation(), clock::time_point{});
    EXPECT_FALSE(lane.try_allocate(0));
    EXPECT_EQ(lane.last_allocation(), clock::time_point{}) << "nothing was";
    fragment f = lane.allocate(64);
    clock::time_point first = lane.last_allocation();
    EXPECT_GT(first, clock::time_point{});
    EXPECT_LE(first, clock::now());
    while (clock::now() < first + std::chrono::milliseconds(20)) std::this_thread::yield();
    EXPECT_EQ(lane.try_allocate(64).error(), errc::lane_full);
    EXPECT_EQ(lane.last_allocation(), first) << "nothing was";
    f.release();
    f = lane.allocate(1);
    EXPECT_GT(lane.last_allocation(), first);
}

TEST(lane, closed_hands_out_nothing_and_resets_as_always) {
    heap_lane lane(1024);
    fragment f = lane.allocate(100);
    lane.close();
    lane.close();
    EXPECT_TRUE(lane.closed());
    EXPECT_EQ(lane.try_allocate(8).error(), errc::lane_closed);
    EXPECT_EQ(lane.free_space(), 0u);
    EXPECT_EQ(lane.live(), 1u);
    EXPECT_EQ(f.release(), errc{});
    EXPECT_EQ(lane.offset(), 0u);
    EXPECT_EQ(lane.cycle(), 1u);
    EXPECT_TRUE(lane.closed());
    lane.reopen();
    lane.reopen();
    EXPECT_FALSE(lane.closed());
    EXPECT_EQ(lane.free_space(), 1024u);
    EXPECT_TRUE(lane.try_allocate(8));
}

TEST(lane, disposed_refuses_all_but_a_second_dispose) {
    counted_lane lane(1024);
    lane.dispose();
    EXPECT_EQ(counted_storage::alive(), 0);
    lane.dispose();
    EXPECT_TRUE(lane.disposed());
    EXPECT_FALSE(lane.closed());
    std::istringstream stream("x");
    EXPECT_EQ(lane.try_allocate(8).error(), errc::lane_disposed);
    EXPECT_EQ(lane.try_close().error(), errc::lane_disposed);
    EXPECT_EQ(lane.try_reopen().error(), errc::lane_disposed);
    EXPECT_EQ(lane.try_force_reset().error(), errc::lane_disposed);
    EXPECT_EQ(lane.try_fill_from(stream, 1).error(), errc::lane_disposed);
    EXPECT_TRUE(lane.bytes().empty());
    EXPECT_EQ(lane.free_space(), 0u);
    EXPECT_EQ(lane.live(), 0u);
}

TEST(lane, disposed_while_fragments_live_goes_with_the_last_of_them) {
    counted_lane lane(1024);
    fragment a = lane.allocate(100), b = lane.allocate(100);
    mark(a, 1), mark(b, 2);
    lane.dispose();
    EXPECT_EQ(counted_storage::alive(), 1);
    EXPECT_EQ(lane.live(), 2u);
    EXPECT_EQ(lane.try_reopen().error(), errc::lane_disposed);
    EXPECT_EQ(lane.try_force_reset().error(), errc::lane_disposed);
    EXPECT_TRUE(is_marked(a, 1) && is_marked(b, 2));
    EXPECT_EQ(a.release(), errc{});
    EXPECT_EQ(counted_storage::alive(), 1);
    EXPECT_TRUE(is_marked(b, 2));
    EXPECT_EQ(b.release(), errc{});
    EXPECT_EQ(counted_storage::alive(), 0);
}

TEST(lane, fragments_and_orphans_outlive_it_in_every_order) {
    random_source random("outlives");
    for (int round = 0; round < 200; ++round) {
        std::vector<std::pair<fragment, errc>> all;
        {
            counted_lane lane(4096);
            for (int forced = 0; forced < 3; ++forced) {
                for (std::uint64_t n = random.below(4); n > 0; --n)
                    all.emplace_back(lane.allocate(50), errc::wrong_cycle);
                lane.force_reset();
            }
            for (std::uint64_t n = random.below(4); n > 0; --n) all.emplace_back(lane.allocate(50), errc{});
            if (random.percent(50)) lane.dispose();
        }
        while (!all.empty()) {
            ASSERT_EQ(counted_storage::alive(), 1);
            std::swap(all[random.below(all.size())], all.back());
            auto& [f, expected] = all.back();
            EXPECT_EQ(f.check(), expected == errc{} ? errc::lane_disposed : expected);
            std::memset(f.data(), 1, f.size());
            EXPECT_EQ(f.release(), expected);
            all.pop_back();
        }
        ASSERT_EQ(counted_storage::alive(), 0);
    }
}

TEST(lane, a_forced_reset_makes_orphans_that_change_nothing_any_more) {
    counted_lane lane(1024);
    fragment a = lane.allocate(100), b = lane.allocate(100);
    EXPECT_EQ(lane.force_reset(), 2u);
    EXPECT_EQ(lane.live(), 0u);
    EXPECT_EQ(lane.offset(), 0u);
    EXPECT_EQ(lane.cycle(), 1u);
    EXPECT_FALSE(lane.closed());
    fragment c = lane.allocate(100);
    EXPECT_EQ(c.data(), a.data());
    EXPECT_EQ(a.release(), errc::wrong_cycle);
    EXPECT_EQ(b.release(), errc::wrong_cycle);
    EXPECT_EQ(lane.live(), 1u);
    EXPECT_EQ(lane.offset(), 112u);
    EXPECT_EQ(lane.force_reset(true), 1u);
    EXPECT_TRUE(lane.closed());
    EXPECT_EQ(lane.try_allocate(8).error(), errc::lane_closed);
    EXPECT_EQ(lane.force_reset(), 0u) << "a forced reset without close does not reopen";
    EXPECT_TRUE(lane.closed());
    EXPECT_EQ(lane.cycle(), 3u);
    EXPECT_EQ(c.check(), errc::wrong_cycle);
}

// What a lane's core does with its references, without a lane.
class bare_core final : public detail::lane_core {
  public:
    bare_core(bool& storage_gone, bool& core_gone) : storage_gone_(storage_gone), core_gone_(core_gone) {}
    using lane_core::count_orphans;
    using lane_core::expect_orphans;
    using lane_core::hold_storage;
    using lane_core::release_storage_reference;
    errc release(detail::fragment_stamp) noexcept override { return errc{}; }
    errc why_no_access(detail::fragment_stamp) const noexcept override { return errc{}; }
    storage_type type() const noexcept override { return storage_type::slot; }

  private:
    void storage_unused() noexcept override { storage_gone_ = true; }
    void core_unused() noexcept override {
        core_gone_ = true;
        delete this;
    }
    bool& storage_gone_;
    bool& core_gone_;
};

TEST(lane, disposed_in_the_middle_of_a_forced_reset_goes_with_its_last_orphan) {
    for (std::uint64_t orphans : {0u, 1u, 3u}) {
        for (std::uint64_t gone_before = 0; gone_before <= orphans; ++gone_before) {
            bool storage_gone = false, core_gone = false;
            auto* core = new bare_core(storage_gone, core_gone);
            ASSERT_TRUE(core->expect_orphans());
            core->release_storage_reference();  // the lane is disposed
            for (std::uint64_t i = 0; i < gone_before; ++i) core->release_storage_reference();
            EXPECT_FALSE(storage_gone);
            core->count_orphans(orphans);
            for (std::uint64_t i = gone_before; i < orphans; ++i) {
                EXPECT_FALSE(storage_gone);
                core->release_storage_reference();
            }
            EXPECT_TRUE(storage_gone) << orphans << " orphans, " << gone_before << " gone before they were counted";
            EXPECT_FALSE(core->hold_storage());
            EXPECT_FALSE(core_gone);
            core->let_go();
            EXPECT_TRUE(core_gone);
        }
    }
}

TEST(lane, disposed_just_before_a_forced_reset_is_gone_once) {
    bool storage_gone = false, core_gone = false;
    auto* core = new bare_core(storage_gone, core_gone);
    core->release_storage_reference();
    EXPECT_TRUE(storage_gone);
    storage_gone = false;
    EXPECT_FALSE(core->expect_orphans());
    EXPECT_FALSE(storage_gone || core_gone);
    core->let_go();
    EXPECT_TRUE(core_gone);
}

TEST(lane, counts_every_forced_reset_as_a_cycle) {
    heap_lane lane(1024);
    std::uint64_t cycle = 0;
    for (int i = 0; i < 1000; ++i) {
        fragment f;
        if (i % 3 == 0) f = lane.allocate(16);
        lane.force_reset();
        ASSERT_EQ(lane.cycle(), ++cycle) << i;
        f.release();
        if (i % 5 == 0) {
            lane.allocate(16).release();
            ASSERT_EQ(lane.cycle(), ++cycle) << i;
        }
    }
}

TEST(lane, an_orphan_is_never_mistaken_for_a_fragment_of_a_later_cycle) {
    for (int first = 0; first < 130; ++first) {
        heap_lane lane(1024);
        for (int i = 0; i < first; ++i) lane.force_reset();
        fragment orphan = lane.allocate(16);
        for (int i = 0; i < 63; ++i) {
            ASSERT_TRUE(lane.try_force_reset()) << i;
            ASSERT_EQ(orphan.check(), errc::wrong_cycle) << i;
        }
        fragment alive = lane.allocate(16);
        ASSERT_EQ(lane.try_force_reset().error(), errc::fragments_alive);
        ASSERT_EQ(alive.check(), errc{}) << "what fails changes nothing";
        ASSERT_EQ(lane.live(), 1u);
        ASSERT_EQ(orphan.release(), errc::wrong_cycle);
        ASSERT_TRUE(lane.try_force_reset()) << "it was the last orphan";
        ASSERT_EQ(alive.check(), errc::wrong_cycle);
    }
}

TEST(lane, says_negative_reset_for_a_range_that_was_adopted_twice) {
    counted_lane lane(1024);
    fragment f = lane.allocate(16);
    fragment::parts p = f.detach();
    fragment a(p), b(p);
    EXPECT_EQ(a.release(), errc{});
    EXPECT_EQ(b.release(), errc::negative_reset);
    EXPECT_EQ(lane.live(), 0u);
    EXPECT_EQ(lane.offset(), 0u);
    EXPECT_TRUE(lane.try_allocate(1024));
}

TEST(lane, holds_a_million_fragments_and_refuses_one_more) {
    constexpr std::uint64_t limit = (std::uint64_t{1} << 20) - 1;
    counted_lane lane((limit + 2) * 16);
    std::vector<fragment> all;
    all.reserve(limit);
    for (std::uint64_t i = 0; i < limit; ++i) {
        all.push_back(lane.allocate(8));
        all.back().write(0, i);
    }
    EXPECT_EQ(lane.live(), limit);
    EXPECT_EQ(lane.try_allocate(8).error(), errc::too_many_fragments);
    EXPECT_EQ(lane.try_allocate(64).error(), errc::lane_full);
    EXPECT_EQ(lane.offset(), limit * 16);
    for (std::uint64_t i = 0; i < limit; ++i) ASSERT_EQ(all[i].read<std::uint64_t>(0), i);
    all.pop_back();
    EXPECT_TRUE(lane.try_allocate(8));
    EXPECT_EQ(lane.live(), limit - 1);
    all.clear();
    EXPECT_EQ(lane.offset(), 0u);
    EXPECT_EQ(lane.cycle(), 1u);
}

TEST(lane, lives_a_random_life_as_its_model_does) {
    random_source random("lane");
    for (std::uint64_t skew : {0u, 8u, 24u, 63u}) {
        for (std::uint64_t capacity : {100u, 4096u, 20000u, 3u << 20}) {
            {
                counted_lane lane(capacity, counted_storage::options{.alignment = 64, .skew = skew});
                random_life<counted_lane> life(lane, random);
                life.live(sanitized ? 1500 : 6000);
                if (HasFailure()) return;
                if (random.percent(50)) life.release_all();
                std::vector<fragment> rest = life.give_all();
                lane = counted_lane();
                EXPECT_EQ(counted_storage::alive(), rest.empty() ? 0 : 1);
            }
            ASSERT_EQ(counted_storage::alive(), 0);
        }
    }
}

TEST(lane, traces_itself_in_one_line) {
    heap_lane lane(1024);
    fragment f = lane.allocate(100);
    EXPECT_EQ(lane.trace(), "heap lane of 1024 bytes: offset 112, live 1, cycle 0");
    lane.close();
    lane.force_reset();
    EXPECT_EQ(lane.trace(), "heap lane of 1024 bytes: offset 0, live 0, cycle 1, closed");
    lane.dispose();
    EXPECT_EQ(lane.trace(), "heap lane of 1024 bytes: disposed");
    EXPECT_EQ(mapping_lane(4096).trace(), "mapping lane of 4096 bytes: offset 0, live 0, cycle 0");
}

TEST(lane, a_reference_is_the_lane_it_names) {
    heap_lane lane(1024);
    lane_ref a = lane, b = a;
    fragment f = b.allocate(16);
    EXPECT_EQ(lane.live(), 1u);
    EXPECT_EQ(a.bytes().data(), f.data());
    a.close();
    EXPECT_TRUE(lane.closed());
}

// Counts what it is asked to give back.
class purged_storage : public counted_storage {
  public:
    static result<purged_storage> try_create(std::uint64_t bytes, const options& o) noexcept {
        result<counted_storage> made = counted_storage::try_create(bytes, o);
        if (!made) return made.why();
        return purged_storage(*std::move(made));
    }
    std::uint64_t purge(std::uint64_t from, std::uint64_t bytes) noexcept {
        during();
        std::memset(data() + from, 0, bytes);
        return bytes;
    }
    static inline void (*during)() = [] {};

  private:
    explicit purged_storage(counted_storage&& s) : counted_storage(std::move(s)) {}
};

class purged_lane : public basic_lane<purged_storage> {
  public:
    using basic_lane::basic_lane;
    std::uint64_t purge() { return core_->purge(); }  // which only highways ask for
};

TEST(lane, gives_memory_back_only_while_it_is_empty) {
    static purged_lane* the;
    purged_lane lane(1024);
    the = &lane;
    purged_storage::during = [] {
        EXPECT_EQ(the->try_allocate(16).error(), errc::lane_full) << "memory that is being purged is not handed out";
        the->close();
    };
    EXPECT_EQ(lane.purge(), 1024u);
    EXPECT_TRUE(lane.closed()) << "a lane that was closed meanwhile stays closed";
    EXPECT_EQ(lane.live(), 0u);
    EXPECT_EQ(lane.offset(), 0u);
    lane.reopen();
    purged_storage::during = [] { ADD_FAILURE() << "that is in use"; };
    fragment f = lane.allocate(16);
    EXPECT_EQ(lane.purge(), 0u);
    f.release();
    purged_storage::during = [] { the->dispose(); };
    EXPECT_EQ(lane.purge(), 1024u);
    EXPECT_EQ(counted_storage::alive(), 0);
    EXPECT_EQ(lane.purge(), 0u);
}

TEST(lane_of_a_fragment, is_found_as_long_as_threads_share_it) {
    heap_lane lane(4096);
    fragment f = lane.allocate(16);
    EXPECT_EQ(lane_of(f).core(), lane.core());
    EXPECT_EQ(lane_of(f).index(), 0u);
    owned_heap_lane owned(4096);
    fragment of_one_thread = owned.allocate(16), of_no_lane = slot(16).into_fragment();
    EXPECT_EQ(lane_of(of_one_thread).core(), nullptr);
    EXPECT_EQ(lane_of(of_no_lane).core(), nullptr);
    EXPECT_EQ(lane_of(fragment()).core(), nullptr);
}

}  // namespace
