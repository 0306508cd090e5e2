// The lane that one thread owns: what it hands out, counts, refuses and keeps, and what other threads may do.
#include "lanes/owned_lane.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <optional>
#include <thread>
#include <vector>

#include "tests/lane/lane_model.hpp"

namespace {

using namespace lanes;
using namespace lanes::test;

static_assert(!std::is_copy_constructible_v<owned_heap_lane> && std::is_nothrow_move_constructible_v<owned_heap_lane>);

// Its owner is the thread that asks, and so it is in most tests.
template <class F>
void elsewhere(F&& f) {
    std::thread(std::forward<F>(f)).join();
}

TEST(owned_lane, hands_out_one_range_behind_the_other_and_resets_with_the_last) {
    owned_heap_lane lane(1024);
    std::byte* base = lane.bytes().data();
    for (std::uint64_t cycle = 0; cycle < 600; ++cycle) {
        fragment a = lane.allocate(1), b = lane.allocate(17), c = lane.allocate(16);
        ASSERT_EQ(a.data(), base);
        ASSERT_EQ(b.data(), base + 16);
        ASSERT_EQ(c.data(), base + 48);
        ASSERT_EQ(lane.offset(), 64u);
        ASSERT_EQ(lane.free_space(), 960u);
        ASSERT_EQ(lane.live(), 3u);
        ASSERT_EQ(lane.cycle(), cycle);
        b.release(), a.release();
        ASSERT_EQ(lane.offset(), 64u);
        ASSERT_EQ(lane.live(), 1u);
        c.release();
        ASSERT_EQ(lane.offset(), 0u);
        ASSERT_EQ(lane.live(), 0u);
    }
}

TEST(owned_lane, is_used_to_its_last_granule) {
    for (std::uint64_t capacity : capacities_of_all_kinds) {
        owned_counted_lane lane(capacity);
        ASSERT_GE(lane.capacity(), capacity);
        ASSERT_LT(lane.capacity(), capacity + 16);
        fragment all = lane.allocate(lane.capacity());
        mark(all, capacity);
        EXPECT_EQ(lane.free_space(), 0u);
        EXPECT_EQ(lane.try_allocate(1, 1).error(), errc::lane_full);
        EXPECT_TRUE(is_marked(all, capacity));
    }
}

TEST(owned_lane, refuses_sizes_and_alignments_that_no_state_of_it_could_serve) {
    owned_heap_lane lane(1008);
    auto refuses_them = [&] { expect_impossible_requests_refused(lane, 1008); };
    refuses_them();
    EXPECT_EQ(lane.live(), 0u);
    fragment most = lane.allocate(1008);
    refuses_them();
    lane.close();
    refuses_them();
    lane.dispose();
    refuses_them();
}

TEST(owned_lane, refuses_an_alignment_beyond_the_largest_even_where_it_would_fit) {
    basic_owned_lane<address_storage> lane(4096,
                                           address_storage::options{.alignment = std::uint64_t{1} << 32, .past = 0});
    EXPECT_EQ(lane.try_allocate(8, std::uint64_t{1} << 31).error(), errc::bad_alignment);
    EXPECT_EQ(lane.try_allocate(8, std::uint64_t{1} << 32).error(), errc::bad_alignment);
    fragment f = lane.allocate(8, 1u << 30);
    EXPECT_EQ(f.data(), lane.bytes().data());
}

TEST(owned_lane, places_fragments_at_every_alignment_wherever_its_storage_begins) {
    for (std::uint64_t skew : skews_of_storage) {
        owned_counted_lane lane(std::uint64_t{3} << 20, counted_storage::options{.alignment = 64, .skew = skew});
        expect_every_alignment_kept(lane);
        if (HasFatalFailure()) return;
    }
}

TEST(owned_lane, stays_inside_a_storage_that_begins_or_ends_in_a_granule) {
    for (std::uint64_t skew = 0; skew < 16; ++skew) {
        for (std::uint64_t bytes = 1; bytes < 70; ++bytes) {
            auto made = owned_counted_lane::try_over(
                counted_storage::try_create(bytes, {.alignment = 64, .skew = skew}).value());
            std::uint64_t skipped = (16 - skew) % 16;
            if (bytes < skipped + 16) {
                ASSERT_EQ(made.error(), errc::size_out_of_range) << bytes << " at " << skew;
                continue;
            }
            ASSERT_EQ(made->capacity(), (bytes - skipped) / 16 * 16);
            fragment all = made->allocate(made->capacity());
            mark(all, skew);  // under the eyes of ASan
        }
    }
    ASSERT_EQ(counted_storage::alive(), 0);
}

TEST(owned_lane, capacities_of_nothing_or_too_much_are_refused) {
    EXPECT_EQ(owned_heap_lane::try_create(0).error(), errc::size_out_of_range);
    EXPECT_EQ(owned_heap_lane::try_create(heap_lane::max_capacity + 1).error(), errc::size_out_of_range);
    EXPECT_EQ(owned_heap_lane::try_create(wrapped).error(), errc::size_out_of_range);
    EXPECT_EQ(owned_heap_lane::try_create(64, {.alignment = 3}).error(), errc::bad_alignment);
    counted_storage full = counted_storage::try_create(64, {}).value();
    counted_storage other(std::move(full));
    EXPECT_EQ(owned_counted_lane::try_over(std::move(full)).error(), errc::size_out_of_range);
}

void expect_empty(owned_lane& lane) {
    EXPECT_EQ(lane.try_allocate(8).error(), errc::not_initialised);
    EXPECT_EQ(lane.try_reset_if_empty().error(), errc::not_initialised);
    EXPECT_EQ(lane.try_close().error(), errc::not_initialised);
    EXPECT_EQ(lane.try_reopen().error(), errc::not_initialised);
    EXPECT_EQ(lane.try_force_reset().error(), errc::not_initialised);
    EXPECT_EQ(lane.try_dispose().error(), errc::not_initialised);
    EXPECT_EQ(lane.try_adopt().error(), errc::not_initialised);
    EXPECT_EQ(lane.capacity() + lane.offset() + lane.free_space() + lane.live() + lane.cycle(), 0u);
    EXPECT_FALSE(lane.closed() || lane.disposed());
    EXPECT_EQ(lane.type(), storage_type::slot);
    EXPECT_TRUE(lane.bytes().empty());
    EXPECT_EQ(lane.trace(), "empty lane");
}

TEST(owned_lane, an_empty_one_refuses_everything) {
    owned_heap_lane lane;
    expect_empty(lane);
    EXPECT_EQ(lane.storage(), nullptr);
    lane = owned_heap_lane(64);
    EXPECT_NE(lane.storage(), nullptr);
    owned_heap_lane other(std::move(lane));
    expect_empty(lane);
    EXPECT_EQ(lane.storage(), nullptr);
    EXPECT_EQ(other.capacity(), 64u);
}

TEST(owned_lane, a_move_takes_the_lane_and_an_assignment_disposes_of_the_old_one) {
    owned_counted_lane a(1024), b(2048);
    fragment of_a = a.allocate(10), of_b = b.allocate(10);
    a = std::move(b);
    expect_empty(b);
    EXPECT_EQ(a.capacity(), 2048u);
    EXPECT_EQ(of_a.check(), errc::lane_disposed);
    EXPECT_EQ(of_b.check(), errc{});
    owned_counted_lane& same = a;
    a = std::move(same);
    EXPECT_EQ(of_b.check(), errc{});
    EXPECT_EQ(counted_storage::alive(), 2);
    of_a.release();
    EXPECT_EQ(counted_storage::alive(), 1);
    of_b.release();
    EXPECT_EQ(a.cycle(), 1u);
    a = owned_counted_lane();
    EXPECT_EQ(counted_storage::alive(), 0);
}

TEST(owned_lane, closed_hands_out_nothing_and_resets_as_always) {
    owned_heap_lane lane(1024);
    fragment f = lane.allocate(100);
    lane.close();
    lane.close();
    EXPECT_TRUE(lane.closed());
    EXPECT_EQ(lane.try_allocate(8).error(), errc::lane_closed);
    EXPECT_EQ(lane.free_space(), 0u);
    EXPECT_EQ(f.release(), errc{});
    EXPECT_EQ(lane.cycle(), 1u);
    EXPECT_TRUE(lane.closed());
    EXPECT_EQ(lane.try_allocate(8).error(), errc::lane_closed);
    lane.reopen();
    lane.reopen();
    EXPECT_EQ(lane.free_space(), 1024u);
    EXPECT_TRUE(lane.try_allocate(1024));
}

TEST(owned_lane, disposed_refuses_all_but_a_second_dispose) {
    owned_counted_lane lane(1024);
    lane.dispose();
    EXPECT_EQ(counted_storage::alive(), 0);
    lane.dispose();
    EXPECT_TRUE(lane.disposed());
    EXPECT_EQ(lane.live(), 0u);
    EXPECT_EQ(lane.try_allocate(8).error(), errc::lane_disposed);
    EXPECT_EQ(lane.try_reset_if_empty().error(), errc::lane_disposed);
    EXPECT_EQ(lane.try_close().error(), errc::lane_disposed);
    EXPECT_EQ(lane.try_reopen().error(), errc::lane_disposed);
    EXPECT_EQ(lane.try_force_reset().error(), errc::lane_disposed);
    EXPECT_EQ(lane.try_adopt().error(), errc::lane_disposed);
    EXPECT_TRUE(lane.bytes().empty());
    EXPECT_EQ(lane.free_space(), 0u);
    EXPECT_EQ(lane.trace(), "thread-owned heap lane of 1024 bytes: disposed");
}

TEST(owned_lane, disposed_while_fragments_live_goes_with_the_last_of_them) {
    for (bool here : {false, true}) {
        owned_counted_lane lane(1024);
        fragment gone = lane.allocate(10), a = lane.allocate(100), b = lane.allocate(100), c = lane.allocate(100);
        elsewhere([&] { gone.release(); });
        mark(a, 1), mark(b, 2), mark(c, 3);
        lane.dispose();
        EXPECT_EQ(lane.live(), 3u);
        auto release = [&](fragment& f) {
            errc said = errc::system_failure;
            here ? void(said = f.release()) : elsewhere([&] { said = f.release(); });
            EXPECT_EQ(said, errc{});
        };
        release(b);
        EXPECT_EQ(lane.live(), 2u);
        EXPECT_TRUE(is_marked(a, 1) && is_marked(c, 3));
        release(a);
        EXPECT_EQ(counted_storage::alive(), 1);
        release(c);
        EXPECT_EQ(counted_storage::alive(), 0);
        EXPECT_EQ(lane.live(), 0u);
    }
}

TEST(owned_lane, a_forced_reset_makes_orphans_that_change_nothing_any_more) {
    owned_counted_lane lane(1024);
    fragment gone = lane.allocate(16), a = lane.allocate(100), b = lane.allocate(100);
    elsewhere([&] { gone.release(); });
    EXPECT_EQ(lane.force_reset(), 2u) << "what another thread released is none";
    EXPECT_EQ(lane.live(), 0u);
    EXPECT_EQ(lane.offset(), 0u);
    EXPECT_EQ(lane.cycle(), 1u);
    fragment c = lane.allocate(100);
    EXPECT_EQ(a.release(), errc::wrong_cycle);
    elsewhere([&] { EXPECT_EQ(b.release(), errc::wrong_cycle); });
    EXPECT_EQ(lane.live(), 1u);
    EXPECT_EQ(lane.offset(), 112u);
    EXPECT_EQ(lane.force_reset(true), 1u);
    EXPECT_TRUE(lane.closed());
    EXPECT_EQ(lane.force_reset(), 0u);
    EXPECT_TRUE(lane.closed()) << "a forced reset without close does not reopen";
    EXPECT_EQ(c.check(), errc::wrong_cycle);
}

TEST(owned_lane, an_orphan_is_never_mistaken_for_a_fragment_of_a_later_cycle) {
    for (int first : {0, 1, 100, 254, 255, 256, 257, 600}) {
        owned_heap_lane lane(1024);
        for (int i = 0; i < first; ++i) lane.force_reset();
        fragment orphan = lane.allocate(16);
        int done = 0;
        while (lane.try_force_reset()) {
            ASSERT_LT(++done, 1000) << "it was never refused";
            ASSERT_EQ(orphan.check(), errc::wrong_cycle) << done;
        }
        ASSERT_GE(done, 63) << "refused too early";
        fragment alive = lane.allocate(16);
        ASSERT_EQ(lane.try_force_reset().error(), errc::fragments_alive);
        ASSERT_EQ(alive.check(), errc{}) << "what fails changes nothing";
        ASSERT_EQ(orphan.release(), errc::wrong_cycle);
        ASSERT_EQ(lane.live(), 1u);
        ASSERT_EQ(lane.force_reset(), 1u) << "it was the last orphan";
    }
}

TEST(owned_lane, holds_more_than_a_million_fragments) {
    constexpr std::uint64_t many = (std::uint64_t{1} << 20) + 5;
    owned_counted_lane lane(many * 16);
    std::vector<fragment> all;
    all.reserve(many);
    for (std::uint64_t i = 0; i < many; ++i) {
        all.push_back(lane.allocate(8));
        all.back().write(0, i);
    }
    EXPECT_EQ(lane.live(), many);
    EXPECT_EQ(lane.try_allocate(1).error(), errc::lane_full);
    for (std::uint64_t i = 0; i < many; ++i) ASSERT_EQ(all[i].read<std::uint64_t>(0), i);
    all.clear();
    EXPECT_EQ(lane.offset(), 0u);
}

TEST(owned_lane, lives_a_random_life_as_its_model_does) {
    random_source random("owned_lane");
    for (std::uint64_t skew : {0u, 8u, 24u, 63u}) {
        for (std::uint64_t capacity : {100u, 4096u, 20000u, 3u << 20}) {
            {
                owned_counted_lane lane(capacity, counted_storage::options{.alignment = 64, .skew = skew});
                random_life<owned_counted_lane> life(lane, random);
                life.live(sanitized ? 1500 : 6000);
                if (HasFailure()) return;
                if (random.percent(50)) life.release_all();
                std::vector<fragment> rest = life.give_all();
                lane = owned_counted_lane();
                EXPECT_EQ(counted_storage::alive(), rest.empty() ? 0 : 1);
                if (random.percent(50)) elsewhere([&] { rest.clear(); });
            }
            ASSERT_EQ(counted_storage::alive(), 0);
        }
    }
}

TEST(owned_lane, room_that_others_released_comes_back_when_it_is_needed_or_asked_for) {
    owned_heap_lane lane(64);
    fragment a = lane.allocate(32), b = lane.allocate(32);
    elsewhere([&] { a.release(), b.release(); });
    EXPECT_EQ(lane.live(), 0u);
    EXPECT_EQ(lane.offset(), 64u) << "only the owner resets";
    EXPECT_EQ(lane.cycle(), 0u);
    fragment c = lane.allocate(64);
    EXPECT_EQ(lane.cycle(), 1u);
    EXPECT_EQ(lane.live(), 1u);
    elsewhere([&] { c.release(); });
    EXPECT_TRUE(lane.reset_if_empty());
    EXPECT_EQ(lane.offset(), 0u);
    EXPECT_EQ(lane.cycle(), 2u);
    EXPECT_TRUE(lane.reset_if_empty());
    EXPECT_EQ(lane.cycle(), 2u) << "there was nothing to reset";
    a = lane.allocate(16), b = lane.allocate(16);
    elsewhere([&] { a.release(); });
    EXPECT_FALSE(lane.reset_if_empty());
    EXPECT_EQ(lane.try_allocate(64).error(), errc::lane_full);
    b.release();
    EXPECT_EQ(lane.offset(), 0u) << "the owner released the last one";
    EXPECT_EQ(lane.cycle(), 3u);
}

TEST(owned_lane, only_its_owner_uses_it_until_another_adopts_it) {
    owned_counted_lane lane(1024);
    fragment f = lane.allocate(16);
    elsewhere([&] {
        EXPECT_EQ(lane.try_allocate(8).error(), errc::not_the_owner);
        EXPECT_EQ(thrown_by([&] { lane.allocate(8); }), errc::not_the_owner);
        EXPECT_EQ(lane.try_reset_if_empty().error(), errc::not_the_owner);
        EXPECT_EQ(lane.try_close().error(), errc::not_the_owner);
        EXPECT_EQ(lane.try_reopen().error(), errc::not_the_owner);
        EXPECT_EQ(lane.try_force_reset().error(), errc::not_the_owner);
        EXPECT_EQ(lane.try_dispose().error(), errc::not_the_owner);
        EXPECT_EQ(lane.live(), 1u);
        EXPECT_EQ(lane.offset(), 16u);
        EXPECT_FALSE(lane.disposed());
        EXPECT_EQ(lane.trace(), "thread-owned heap lane of 1024 bytes: offset 16, live 1, cycle 0");
    });
    elsewhere([&] {
        lane.adopt();
        fragment mine = lane.allocate(16);
        EXPECT_EQ(mine.data(), lane.bytes().data() + 16);
        EXPECT_EQ(lane.live(), 2u);
        mine.release();
        EXPECT_EQ(lane.live(), 1u);
        EXPECT_EQ(f.release(), errc{}) << "the new owner releases as the owner does";
        EXPECT_EQ(lane.cycle(), 1u);
        fragment left = lane.allocate(16);
        f = std::move(left);
    });
    EXPECT_EQ(lane.try_allocate(8).error(), errc::not_the_owner) << "it is another's now";
    EXPECT_EQ(f.release(), errc{});
    EXPECT_EQ(lane.offset(), 16u);
    lane.adopt();
    EXPECT_TRUE(lane.reset_if_empty());
    EXPECT_EQ(lane.offset(), 0u);
}

TEST(owned_lane, goes_on_when_its_owner_ended_before_the_fragments) {
    for (bool adopted : {false, true}) {
        std::optional<owned_counted_lane> lane;
        std::vector<fragment> all;
        elsewhere([&] {
            lane.emplace(4096);
            for (int i = 0; i < 10; ++i) {
                all.push_back(lane->allocate(100));
                mark(all.back(), static_cast<std::uint64_t>(i));
            }
        });
        EXPECT_EQ(all[0].release(), errc{});
        if (adopted) {
            lane->adopt();
            all[0] = lane->allocate(100);
            mark(all[0], 0);
        }
        for (std::size_t i = adopted ? 0 : 1; i < 10; ++i) ASSERT_TRUE(is_marked(all[i], i));
        EXPECT_EQ(lane->live(), adopted ? 10u : 9u);
        lane.reset();
        EXPECT_EQ(counted_storage::alive(), 1);
        for (fragment& f : all) f.release();
        EXPECT_EQ(counted_storage::alive(), 0);
    }
}

TEST(owned_lane, the_last_block_handed_out_leaves_its_room_at_once) {
    alignas(16) static std::byte bytes[256];
    auto* core = new detail::owned_core(bytes, sizeof bytes, storage_type::slot);
    std::byte* a = core->allocate(20, 16);
    std::byte* b = core->allocate(16, 16);
    std::byte* c = core->allocate(30, 16);
    EXPECT_EQ(core->offset(), 80u);
    core->release_block_by_owner(b, 16);
    EXPECT_EQ(core->offset(), 80u) << "not the last";
    core->release_block_by_owner(c, 30);
    EXPECT_EQ(core->offset(), 48u);
    EXPECT_EQ(core->live(), 1u);
    std::byte* d = core->allocate(1, 16);
    EXPECT_EQ(d, c);
    core->release_block_by_owner(d, 1);
    std::byte* e = core->allocate(8, 128);
    EXPECT_EQ(number(e) % 128, 0u);
    core->release_block_by_owner(e, 8);
    EXPECT_EQ(core->offset(), static_cast<std::uint64_t>(e - bytes));
    EXPECT_EQ(core->cycle(), 0u);
    core->release_block_by_owner(a, 20);
    EXPECT_EQ(core->offset(), 0u);
    EXPECT_EQ(core->cycle(), 1u);
    // Last in, first out: the offset is that of before, down to nothing.
    std::vector<std::pair<std::byte*, std::uint64_t>> stack;
    for (std::uint64_t n = 1; n <= 10; ++n) stack.emplace_back(core->allocate(n, 16), n);
    for (; stack.size() > 1; stack.pop_back()) {
        core->release_block_by_owner(stack.back().first, stack.back().second);
        ASSERT_EQ(core->offset(), (stack.size() - 1) * 16);
        ASSERT_EQ(core->live(), stack.size() - 1);
    }
    core->release_block_by_owner(stack[0].first, stack[0].second);
    EXPECT_EQ(core->cycle(), 2u);
    core->dispose();
    core->let_go();
}

TEST(owned_lane, blocks_released_in_any_order_never_overlap) {
    random_source random("blocks");
    alignas(16) static std::byte bytes[4096];
    auto* core = new detail::owned_core(bytes, sizeof bytes, storage_type::slot);
    struct block {
        std::byte* at;
        std::uint64_t bytes, seed;
    };
    std::vector<block> blocks;
    for (int i = 0; i < 100000; ++i) {
        if (random.percent(52)) {
            std::uint64_t size = 1 + random.below(120), alignment = random.percent(80) ? 16 : 1u << random.below(8);
            std::byte* at = core->allocate(size, alignment);
            if (at == nullptr) continue;
            blocks.push_back({at, size, random()});
            fill(at, size, blocks.back().seed);
        } else if (!blocks.empty()) {
            std::swap(blocks[random.percent(50) ? blocks.size() - 1 : random.below(blocks.size())], blocks.back());
            block b = blocks.back();
            blocks.pop_back();
            ASSERT_TRUE(holds(b.at, b.bytes, b.seed)) << i;
            if (random.percent(80)) {
                core->release_block_by_owner(b.at, b.bytes);
            } else {
                core->release(core->stamp());  // as another thread does
            }
        }
        ASSERT_EQ(core->live(), blocks.size()) << i;
        if (blocks.empty()) {
            ASSERT_TRUE(core->reset_if_empty()) << i;
            ASSERT_EQ(core->offset(), 0u) << i;
        }
    }
    core->dispose();
    for (std::size_t i = 0; i < blocks.size(); ++i) core->release(core->stamp());
    core->let_go();
}

// A thread that takes fragments and releases them.
class releaser {
  public:
    releaser() : thread_([this] { run(); }) {}
    ~releaser() {
        state_ = over;
        thread_.join();
    }
    // Begins at once; wait() until it is done.
    void release(std::vector<fragment>& all) {
        all_ = &all;
        state_ = begun;
    }
    void wait() const {
        while (state_ == begun) std::this_thread::yield();
    }

  private:
    enum : int { idle, begun, over };
    void run() {
        while (true) {
            int now = state_;
            if (now == over) return;
            if (now == begun) {
                for (fragment& f : *all_) f.release();
                state_ = idle;
            } else {
                std::this_thread::yield();
            }
        }
    }
    std::vector<fragment>* all_ = nullptr;
    std::atomic<int> state_{idle};
    std::thread thread_;
};

TEST(owned_lane, may_end_while_another_thread_releases_its_fragments) {
    releaser other;
    for (int i = 0; i < (sanitized ? 1000 : 3000); ++i) {
        {
            owned_counted_lane lane(1024);
            std::vector<fragment> sent, kept;
            for (int n = 0; n < 1 + i % 4; ++n) sent.push_back(lane.allocate(16));
            for (int n = 0; n < i % 3; ++n) kept.push_back(lane.allocate(16));
            other.release(sent);
            if (i % 2 == 0) lane.dispose();
            if (i % 3 == 0) kept.clear();
            lane = owned_counted_lane();
            kept.clear();
            other.wait();
        }
        ASSERT_EQ(counted_storage::alive(), 0) << i;
    }
}

TEST(owned_lane, may_be_reset_by_force_while_another_thread_releases_its_fragments) {
    releaser other;
    for (int i = 0; i < (sanitized ? 1000 : 3000); ++i) {
        {
            owned_counted_lane lane(1024);
            std::vector<fragment> sent;
            for (int n = 0; n < 1 + i % 4; ++n) sent.push_back(lane.allocate(16));
            other.release(sent);
            std::uint64_t orphans = lane.force_reset();
            ASSERT_LE(orphans, sent.size());
            fragment after = lane.allocate(16);
            ASSERT_EQ(lane.live(), 1u) << "no orphan counts in the new cycle";
            if (i % 2 == 0) lane = owned_counted_lane();
            other.wait();
            ASSERT_EQ(after.check(), i % 2 == 0 ? errc::lane_disposed : errc{});
        }
        ASSERT_EQ(counted_storage::alive(), 0) << i;
    }
}

TEST(owned_lane, gives_room_back_whoever_of_two_threads_releases_last) {
    releaser other;
    owned_heap_lane lane(256);
    for (int i = 0; i < (sanitized ? 1000 : 3000); ++i) {
        std::vector<fragment> sent, kept;
        for (int n = 0; n < 4; ++n) {
            sent.push_back(lane.allocate(16));
            kept.push_back(lane.allocate(16));
            mark(kept.back(), static_cast<std::uint64_t>(i));
        }
        other.release(sent);
        for (fragment& f : kept) {
            ASSERT_TRUE(is_marked(f, static_cast<std::uint64_t>(i)));
            f.release();
        }
        other.wait();
        ASSERT_EQ(lane.live(), 0u);
        ASSERT_TRUE(lane.try_allocate(256)) << i;
    }
}

TEST(owned_lane, says_sane_numbers_to_other_threads_while_it_works) {
    owned_heap_lane lane(1024);
    std::atomic<bool> stop = false;
    std::atomic<std::uint64_t> looks = 0, most = 0;
    std::thread watcher([&] {
        std::uint64_t cycle = 0;
        while (!stop) {
            std::uint64_t live = lane.live();
            if (live > most) most = live;
            if (lane.offset() > 1024) ADD_FAILURE() << "offset";
            std::uint64_t now = lane.cycle();
            if (now < cycle) ADD_FAILURE() << "the cycle went back";
            cycle = now;
            ++looks;
        }
    });
    releaser other;
    for (int i = 0; i < 500 || looks < 5000; ++i) {
        std::vector<fragment> sent;
        for (int n = 0; n < 8; ++n) sent.push_back(lane.allocate(16));
        other.release(sent);
        other.wait();
        lane.reset_if_empty();
    }
    std::vector<fragment> last;
    for (int n = 0; n < 8; ++n) last.push_back(lane.allocate(16));
    lane.dispose();
    for (std::uint64_t until = looks + 100; looks < until;) std::this_thread::yield();
    stop = true;
    watcher.join();
    EXPECT_LE(most, 16u) << "at most 8 were ever alive, and a look may fall between two cycles";
}

}  // namespace
