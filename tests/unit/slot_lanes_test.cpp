// The life of slot lanes: filled, woken, emptied, handed between threads, left behind and adopted, purged in part.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>
#include <unordered_set>
#include <vector>

#include "ground/state.hpp"
#include "heap/bump_lane.hpp"
#include "heap/free_list.hpp"
#include "heap/heap.hpp"
#include "heap/slot_lane_life.hpp"
#include "heap/survey.hpp"
#include "heap/thread.hpp"
#include "heap/thread_cache.hpp"
#include "lanes/lanes.h"
#include "stats/stats_page.hpp"
#include "tests/unit/support.hpp"

namespace lanes::heap {
namespace {

survey_totals survey_now() {
    survey_totals t;
    survey(t);
    return t;
}
slice_record* lane_of(const void* p) { return ground::find(p); }
std::size_t bytes_of(unsigned c) { return c == 0 ? 0 : base::class_bytes[c]; }  // class 0 serves requests for nothing
std::uint32_t capacity_of(unsigned c) { return static_cast<std::uint32_t>(base::slice_bytes / base::class_bytes[c]); }

// The first objects of each class in a thread would come from its bump lane: the thread has had its share of that here.
std::vector<void*> allocate_slots(unsigned c, std::size_t n) {
    own_heap()->bumped[c] = bump_share;
    std::vector<void*> slots(n);
    for (void*& p : slots) {
        p = lanes_malloc(bytes_of(c));
        EXPECT_NE(p, nullptr);
    }
    return slots;
}
// Classes above max_small_bytes go to the cache first, which would keep the last of them: here they go on to their
// lanes.
void free_to_lane(void* p) {
    lanes_free(p);
    if (current != &no_heap) flush_cache(current);
}
void free_all(const std::vector<void*>& slots) {
    for (void* p : slots) free_to_lane(p);
}
void free_in_another_thread(const std::vector<void*>& slots) {
    test::in_new_thread([&] { free_all(slots); });
}

// Classes of few and of many slots a lane, and those whose slots lie across pages.
const unsigned some_classes[] = {1, 2, 3, 7, 13, 40, 64, 70, 77, 80, 88, 89, 92};

class slot_lane_test : public testing::Test {
  protected:
    void SetUp() override { ASSERT_TRUE(start()); }
    // Every test works in threads of its own, so nothing may be left of it.
    void TearDown() override {
        trim(0);
        survey_totals t = survey_now();
        EXPECT_EQ(t.live_slots, 0u);
        EXPECT_EQ(t.slot_lanes, 0u) << "lanes outlive their threads and their slots";
        EXPECT_EQ(stats::value(stats::page->slot_lane_bytes), 0u);
        EXPECT_EQ(stats::value(stats::page->threads_started), stats::value(stats::page->threads_ended));
    }
};

// ---- The bump lane in front of them ----

TEST_F(slot_lane_test, the_first_objects_of_a_thread_share_one_lane) {
    test::in_new_thread([] {
        survey_totals before = survey_now();
        std::vector<void*> objects;
        std::size_t bytes = 0;
        for (unsigned c = 0; c < 40; ++c) {
            objects.push_back(lanes_malloc(bytes_of(c)));
            bytes += base::class_bytes[c];
            EXPECT_EQ(lanes_usable_size(objects.back()), base::class_bytes[c]);
            test::fill(objects.back(), base::class_bytes[c], c);
        }
        survey_totals after = survey_now();
        EXPECT_EQ(after.slot_lanes, before.slot_lanes + 1);
        EXPECT_EQ(after.live_slots, 40u);
        EXPECT_EQ(after.live_slot_bytes, bytes);
        for (unsigned c = 0; c < 40; ++c) EXPECT_TRUE(test::holds(objects[c], base::class_bytes[c], c));
        free_all(objects);
    });
}

// As if no class had had its share: the lane is then filled to its end.
void* allocate_bumped_object(std::size_t bytes) {
    own_heap()->bumped[base::class_of(bytes)] = 0;
    return lanes_malloc(bytes);
}

TEST_F(slot_lane_test, a_full_bump_lane_starts_again_when_its_last_object_has_gone_and_not_before) {
    test::in_new_thread([] {
        void* first = allocate_bumped_object(1000);
        test::fill(first, 1000, 1);
        std::vector<void*> others;
        void* p = allocate_bumped_object(1000);
        for (; lane_of(p) == lane_of(first); p = allocate_bumped_object(1000)) {
            EXPECT_GT(p, others.empty() ? first : others.back());
            std::memset(p, 0xff, 1000);
            others.push_back(p);
        }
        EXPECT_GT(others.size(), bump_bytes / 1008 / 2);
        test::in_new_thread([&] { free_all(others); });
        void* q = allocate_bumped_object(2000);
        EXPECT_NE(lane_of(q), lane_of(first)) << "the lane started again over a live object";
        EXPECT_TRUE(test::holds(first, 1000, 1));
        lanes_free(first);
        void* again = allocate_bumped_object(3000);
        EXPECT_EQ(again, first);
        EXPECT_EQ(lanes_usable_size(again), 3072u);
        for (void* x : {p, q, again}) lanes_free(x);
    });
}

TEST_F(slot_lane_test, a_bump_lane_of_an_ended_thread_goes_with_its_last_object) {
    void *a = nullptr, *b = nullptr;
    test::in_new_thread([&] {
        a = lanes_malloc(100), b = lanes_malloc(1000);
        test::fill(b, 1000, 1);
    });
    EXPECT_EQ(lane_of(a)->kind.load(), slice_kind::bump_lane);
    lanes_free(a);
    EXPECT_EQ(survey_now().slot_lanes, 1u);
    EXPECT_TRUE(test::holds(b, 1000, 1));
    lanes_free(b);
    EXPECT_EQ(survey_now().slot_lanes, 0u);
}

// The slices behind a bump lane are there for their records; no memory may be stuck in them.
TEST_F(slot_lane_test, a_bump_lane_holds_no_more_memory_than_was_touched) {
    trim(0);
    void* dirty = lanes_malloc(std::size_t{1} << 20);
    std::memset(dirty, 1, std::size_t{1} << 20);
    lanes_free(dirty);
    ASSERT_GT(stats::value(stats::page->dirty_bytes), 0u) << "the budget did not keep what this test needs dirty";
    std::uint32_t used = ground::state.used_pages;
    test::in_new_thread([=] {
        lanes_free(lanes_malloc(100));
        EXPECT_LE(ground::state.used_pages - used, std::uint32_t{ground::slice_pages}) << "pages";
    });
}

// An object may be asked for its size while the owner of the lane places the next one behind it.
TEST_F(slot_lane_test, the_size_of_the_last_object_in_a_bump_lane_does_not_change) {
    test::in_new_thread([] {
        std::atomic<void*> last{nullptr};
        std::atomic<bool> stop{false}, looking{false};
        std::atomic<int> wrong{0};
        std::thread other([&] {
            while (!stop) {
                looking = true;
                if (void* p = last) wrong += lanes_usable_size(p) != 112;
                looking = false;
            }
        });
        for (int round = 0; round < 20'000; ++round) {
            void* p = allocate_bumped_object(112);
            last = p;
            void* q = allocate_bumped_object(208);
            last = nullptr;
            while (looking) std::this_thread::yield();  // so that no thread asks about a freed block
            lanes_free(q);
            lanes_free(p);
        }
        stop = true;
        other.join();
        EXPECT_EQ(wrong, 0);
    });
}

// ---- Slot lanes of a living thread ----

TEST_F(slot_lane_test, a_lane_is_filled_before_another_is_opened) {
    for (unsigned c = 0; c < class_count; ++c) {
        test::in_new_thread([=] {
            std::uint32_t capacity = capacity_of(c);
            auto slots = allocate_slots(c, 3 * capacity);
            for (std::uint32_t i = 0; i < 3 * capacity; ++i) {
                ASSERT_EQ(lane_of(slots[i]), lane_of(slots[i - i % capacity])) << "class " << c << ", slot " << i;
            }
            ASSERT_NE(lane_of(slots[0]), lane_of(slots[capacity]));
            ASSERT_EQ(std::set<void*>(slots.begin(), slots.end()).size(), slots.size());
            for (void* p : slots) {
                auto offset = test::number(p) % base::slice_bytes;
                ASSERT_EQ(offset % base::class_bytes[c], 0u);
                ASSERT_LE(offset + base::class_bytes[c], base::slice_bytes);
            }
            free_all(slots);
        });
    }
}

TEST_F(slot_lane_test, a_full_lane_wakes_when_an_eighth_of_it_is_free) {
    for (unsigned c : some_classes) {
        test::in_new_thread([=] {
            std::uint32_t capacity = capacity_of(c);
            auto slots = allocate_slots(c, capacity + 1);  // the last opens a second lane
            slice_record* lane = lane_of(slots[0]);
            ASSERT_EQ(lane->state, slot_lane_state::full) << "class " << c;
            std::uint32_t wake = wake_of(lane);
            EXPECT_EQ(wake, capacity >= 8 ? capacity / 8 : 1);
            for (std::uint32_t i = 0; i < wake; ++i) {
                ASSERT_EQ(lane->state, slot_lane_state::full) << "class " << c << " after " << i << " frees";
                free_to_lane(slots[i]);
            }
            EXPECT_EQ(lane->state, slot_lane_state::available) << "class " << c;
            slots.erase(slots.begin(), slots.begin() + wake);
            free_all(slots);
        });
    }
}

TEST_F(slot_lane_test, emptied_lanes_are_released_but_for_the_active_and_one_more) {
    for (unsigned c : some_classes) {
        for (int order = 0; order < 3; ++order) {
            test::in_new_thread([=] {
                test::random_source random(c * 3u + static_cast<unsigned>(order));
                auto slots = allocate_slots(c, 12 * capacity_of(c));
                EXPECT_EQ(survey_now().slot_lanes_of[c], 12u);
                if (order == 1) std::reverse(slots.begin(), slots.end());
                if (order == 2) {
                    for (std::size_t i = slots.size(); i > 1; --i) std::swap(slots[i - 1], slots[random.below(i)]);
                }
                free_all(slots);
                EXPECT_EQ(survey_now().slots_of[c], 0u);
                EXPECT_LE(survey_now().slot_lanes_of[c], 2u) << "class " << c << ", order " << order;
            });
        }
    }
}

TEST_F(slot_lane_test, slots_freed_by_another_thread_come_back_to_their_owner) {
    for (unsigned c : some_classes) {
        test::in_new_thread([=] {
            auto slots = allocate_slots(c, capacity_of(c));
            std::set<void*> first(slots.begin(), slots.end());
            free_in_another_thread(slots);
            EXPECT_EQ(survey_now().slots_of[c], 0u);
            auto again = allocate_slots(c, capacity_of(c));
            EXPECT_EQ(std::set<void*>(again.begin(), again.end()), first) << "class " << c;
            free_all(again);
        });
    }
}

TEST_F(slot_lane_test, lanes_emptied_by_another_thread_are_released_when_their_owner_looks) {
    for (unsigned c : some_classes) {
        test::in_new_thread([=] {
            auto slots = allocate_slots(c, 12 * capacity_of(c));
            free_in_another_thread(slots);
            flush_thread();
            EXPECT_LE(survey_now().slot_lanes_of[c], 2u) << "class " << c;
        });
    }
}

TEST_F(slot_lane_test, frees_shared_between_owner_and_another_thread_empty_a_lane_too) {
    test::random_source random("shared frees");
    for (unsigned c : some_classes) {
        test::in_new_thread([&] {
            auto slots = allocate_slots(c, 12 * capacity_of(c));
            std::vector<void*> mine, theirs;
            for (void* p : slots) (random.percent(50) ? mine : theirs).push_back(p);
            std::thread other([&] { free_all(theirs); });
            free_all(mine);
            other.join();
            flush_thread();
            EXPECT_EQ(survey_now().slots_of[c], 0u);
            EXPECT_LE(survey_now().slot_lanes_of[c], 2u) << "class " << c;
        });
    }
}

TEST_F(slot_lane_test, a_thread_that_only_frees_gets_no_heap) {
    test::in_new_thread([] {
        auto slots = allocate_slots(5, 20);
        std::uint64_t started = stats::value(stats::page->threads_started);
        test::in_new_thread([&] {
            free_all(slots);
            EXPECT_EQ(current, &no_heap);
        });
        EXPECT_EQ(stats::value(stats::page->threads_started), started);
        EXPECT_EQ(survey_now().slots_of[5], 0u);
    });
}

TEST_F(slot_lane_test, a_thread_that_frees_often_gathers_runs) {
    test::in_new_thread([] {
        auto slots = allocate_slots(5, 20'000);
        std::uint64_t runs = stats::value(stats::page->remote_runs);
        free_in_another_thread(slots);
        EXPECT_LT(stats::value(stats::page->remote_runs) - runs, 1500u);
        EXPECT_EQ(survey_now().slots_of[5], 0u) << "the end of the thread did not hand its runs over";
    });
}

TEST_F(slot_lane_test, an_ended_thread_leaves_no_empty_lane) {
    test::in_new_thread([] {
        for (unsigned c = 0; c < class_count; ++c) free_all(allocate_slots(c, 2 * capacity_of(c)));
    });
    EXPECT_EQ(survey_now().slot_lanes, 0u);
}

TEST_F(slot_lane_test, what_an_ended_thread_left_is_intact_and_its_room_is_adopted) {
    for (unsigned c : some_classes) {
        std::vector<void*> left;
        test::in_new_thread([&] {
            left = allocate_slots(c, (capacity_of(c) + 1) / 2);
            for (std::size_t i = 0; i < left.size(); ++i) test::fill(left[i], base::class_bytes[c], i);
        });
        slice_record* lane = lane_of(left[0]);
        EXPECT_EQ(lane->owner.load(), nullptr) << "class " << c;
        EXPECT_EQ(lane->state, slot_lane_state::adoptable);
        std::uint64_t adopted = stats::value(stats::page->lanes_adopted);
        test::in_new_thread([&] {
            auto more = allocate_slots(c, capacity_of(c) - left.size());
            for (void* p : more) {
                EXPECT_EQ(lane_of(p), lane) << "class " << c;
                std::memset(p, 0xff, base::class_bytes[c]);
            }
            for (std::size_t i = 0; i < left.size(); ++i) EXPECT_TRUE(test::holds(left[i], base::class_bytes[c], i));
            EXPECT_EQ(lane->owner.load(), current) << "class " << c;
            free_all(more);
            free_all(left);  // local by now
        });
        EXPECT_EQ(stats::value(stats::page->lanes_adopted), adopted + 1);
        EXPECT_EQ(survey_now().slot_lanes_of[c], 0u) << "class " << c;
    }
}

TEST_F(slot_lane_test, a_crowded_lane_of_an_ended_thread_becomes_adoptable_when_an_eighth_is_free) {
    for (unsigned c : some_classes) {
        std::vector<void*> left;
        test::in_new_thread([&] { left = allocate_slots(c, capacity_of(c)); });
        slice_record* lane = lane_of(left[0]);
        EXPECT_EQ(lane->state, slot_lane_state::abandoned) << "class " << c;
        std::uint32_t wake = wake_of(lane);
        for (std::uint32_t i = 0; i < wake;) {
            test::in_new_thread([&] {  // too few frees for a heap, so each arrives at once
                for (int k = 0; k < 25 && i < wake; ++k, ++i) {
                    EXPECT_EQ(lane->state, slot_lane_state::abandoned) << "class " << c << " after " << i;
                    lanes_free(left[i]);
                }
            });
        }
        EXPECT_EQ(lane->state, slot_lane_state::adoptable) << "class " << c;
        left.erase(left.begin(), left.begin() + wake);
        free_in_another_thread(left);
    }
}

TEST_F(slot_lane_test, a_lane_of_an_ended_thread_is_released_by_whoever_frees_its_last_slot) {
    for (unsigned c : some_classes) {
        std::vector<void*> left;
        test::in_new_thread([&] { left = allocate_slots(c, 3 * capacity_of(c) + 1); });
        EXPECT_EQ(survey_now().slots_of[c], left.size());
        free_in_another_thread(left);
        EXPECT_EQ(survey_now().slot_lanes_of[c], 0u) << "class " << c;
    }
}

TEST_F(slot_lane_test, runs_of_a_thread_that_ends_are_handed_over) {
    test::in_new_thread([] {
        auto slots = allocate_slots(3, 3);  // too few to be handed over before the end
        test::in_new_thread([&] {
            free_all(allocate_slots(3, 1));  // gives the thread a heap, and so pending runs
            std::uint64_t handed_over = stats::value(stats::page->remote_slots);
            free_all(slots);
            EXPECT_EQ(stats::value(stats::page->remote_slots), handed_over);
            EXPECT_EQ(survey_now().slots_of[3], 0u);  // and yet they are known to be free
        });
        EXPECT_EQ(survey_now().slots_of[3], 0u);
        EXPECT_EQ(survey_now().not_counted.slots_freed, 0);
    });
}

TEST_F(slot_lane_test, a_thread_strands_no_more_than_128_kib_of_others) {
    test::in_new_thread([] {
        for (unsigned c : some_classes) {
            auto slots = allocate_slots(c, 16 * capacity_of(c));
            std::thread other([&] {
                free_all(allocate_slots(c, 1));
                free_all(slots);
                EXPECT_LE(survey_now().slots_of[c] * base::class_bytes[c], std::size_t{128} << 10) << "class " << c;
            });
            other.join();
            flush_thread();
        }
    });
}

TEST_F(slot_lane_test, ended_threads_hand_their_heaps_on) {
    for (int i = 0; i < 50; ++i) test::in_new_thread([] { lanes_free(lanes_malloc(100)); });
    std::uint64_t metadata = stats::value(stats::page->metadata_bytes);
    for (int i = 0; i < 200; ++i) test::in_new_thread([] { lanes_free(lanes_malloc(100)); });
    EXPECT_EQ(stats::value(stats::page->metadata_bytes), metadata);
}

// ---- Hole purge ----

struct survivor {
    void* at;
    std::uint64_t seed;
};

void purge_holes_of_class(unsigned c, std::size_t lanes, std::uint64_t seed) {
    test::random_source random(seed);
    std::uint32_t bytes = base::class_bytes[c];
    auto slots = allocate_slots(c, lanes * capacity_of(c));
    std::vector<survivor> survivors;
    std::unordered_set<void*> freed;
    for (void* p : slots) {
        std::memset(p, 0xdd, bytes);
        if (random.below(4 * 4096 / bytes) == 0) {  // about one on every fourth page
            survivors.push_back({p, random()});
            test::fill(p, bytes, survivors.back().seed);
        } else {
            freed.insert(p);
        }
    }
    for (void* p : freed) lanes_free(p);
    std::size_t lanes_before = survey_now().slot_lanes_of[c];
    std::uint64_t purged = stats::value(stats::page->hole_purged_bytes);
    trim(0);
    EXPECT_GT(stats::value(stats::page->hole_purged_bytes), purged) << "class " << c;
    EXPECT_EQ(survey_now().slots_of[c], survivors.size()) << "class " << c;
    auto intact = [&] {
        for (auto& s : survivors) {
            if (!test::holds(s.at, bytes, s.seed)) return false;
        }
        return true;
    };
    EXPECT_TRUE(intact()) << "class " << c;

    // What is free comes back, each slot once, before another lane is opened.
    std::size_t room = survey_now().slot_lanes_of[c] * capacity_of(c) - survivors.size();
    auto again = allocate_slots(c, room);
    std::unordered_set<void*> out;
    for (auto& s : survivors) out.insert(s.at);
    for (void* p : again) {
        ASSERT_TRUE(out.insert(p).second) << "class " << c << ": a slot came back twice";
        std::memset(p, 0xcc, bytes);
    }
    EXPECT_TRUE(intact()) << "class " << c;
    // A few slots of lanes that are less than an eighth free may stay out of sight.
    EXPECT_LE(survey_now().slot_lanes_of[c], lanes_before + lanes_before / 8 + 1) << "class " << c;
    free_all(again);
    EXPECT_TRUE(intact()) << "class " << c;
    for (auto& s : survivors) lanes_free(s.at);
}

TEST_F(slot_lane_test, purged_holes_keep_the_survivors_and_come_back_exactly_once) {
    test::random_source random("hole purge");
    for (unsigned c : {1u, 2u, 3u, 7u, 13u, 40u, 63u, 64u, 66u}) {
        test::in_new_thread([&, seed = random()] { purge_holes_of_class(c, 12, seed); });
    }
}

TEST_F(slot_lane_test, holes_in_the_lanes_of_ended_threads_are_purged_and_come_back_exactly_once) {
    for (unsigned c : {1u, 3u, 13u, 40u, 64u}) {
        std::vector<void*> slots, kept;
        std::size_t step = 3 * 4096 / base::class_bytes[c] + 1;
        test::in_new_thread([&] {
            slots = allocate_slots(c, 6 * capacity_of(c));
            for (std::size_t i = 0; i < slots.size(); ++i) {
                std::memset(slots[i], 0xdd, base::class_bytes[c]);
                if (i % step == 1) {
                    test::fill(slots[i], base::class_bytes[c], i);
                    kept.push_back(slots[i]);
                }
            }
        });
        test::in_new_thread([&] {
            for (std::size_t i = 0; i < slots.size(); ++i) {
                if (i % step != 1) lanes_free(slots[i]);
            }
        });
        std::size_t lanes = survey_now().slot_lanes_of[c];
        std::uint64_t purged = stats::value(stats::page->hole_purged_bytes);
        trim(0);
        EXPECT_GT(stats::value(stats::page->hole_purged_bytes), purged) << "class " << c;
        EXPECT_EQ(survey_now().slots_of[c], kept.size());
        test::in_new_thread([&] {
            std::unordered_set<void*> out(kept.begin(), kept.end());
            auto again = allocate_slots(c, lanes * capacity_of(c) - kept.size());
            for (void* p : again) {
                ASSERT_TRUE(out.insert(p).second);
                std::memset(p, 0xcc, base::class_bytes[c]);
            }
            EXPECT_LE(survey_now().slot_lanes_of[c], lanes + 1) << "class " << c;
            free_all(again);
        });
        for (std::size_t i = 1, k = 0; i < slots.size(); i += step, ++k) {
            EXPECT_TRUE(test::holds(kept[k], base::class_bytes[c], i));
        }
        free_in_another_thread(kept);
    }
}

TEST_F(slot_lane_test, purging_holes_twice_and_freeing_into_them_loses_nothing) {
    test::random_source random("repeated hole purge");
    for (unsigned c : {1u, 3u, 7u, 13u, 40u, 66u}) {
        test::in_new_thread([&] {
            std::uint32_t bytes = base::class_bytes[c];
            std::vector<survivor> live;
            for (void* p : allocate_slots(c, 6 * capacity_of(c))) {
                live.push_back({p, random()});
                test::fill(p, bytes, live.back().seed);
            }
            for (int round = 0; round < 12; ++round) {
                for (std::size_t i = live.size(); i > 1; --i) std::swap(live[i - 1], live[random.below(i)]);
                std::size_t keep = live.size() / (2 + random.below(8));
                for (; live.size() > keep; live.pop_back()) {
                    ASSERT_TRUE(test::holds(live.back().at, bytes, live.back().seed));
                    lanes_free(live.back().at);
                }
                if (random.percent(80)) trim(0);
                ASSERT_EQ(survey_now().slots_of[c], live.size());
                for (void* p : allocate_slots(c, random.below(5 * capacity_of(c)))) {
                    live.push_back({p, random()});
                    test::fill(p, bytes, live.back().seed);
                }
                ASSERT_EQ(survey_now().slots_of[c], live.size());
            }
            std::unordered_set<void*> distinct;
            for (auto& s : live) {
                ASSERT_TRUE(distinct.insert(s.at).second);
                ASSERT_TRUE(test::holds(s.at, bytes, s.seed));
                lanes_free(s.at);
            }
            EXPECT_EQ(survey_now().slots_of[c], 0u);
        });
    }
}

// The owner takes part in a trim when its bin is empty; what comes back to it then must stay in the bin.
TEST_F(slot_lane_test, a_trim_by_another_thread_loses_no_slot_that_was_freed_by_others) {
    for (unsigned c : some_classes) {
        test::in_new_thread([=] {
            auto slots = allocate_slots(c, capacity_of(c));
            std::vector<void*> freed(slots.begin(), slots.begin() + static_cast<long>(slots.size() / 2));
            slots.erase(slots.begin(), slots.begin() + static_cast<long>(freed.size()));
            free_in_another_thread(freed);
            test::in_new_thread([] { trim(0); });
            auto again = allocate_slots(c, freed.size());
            EXPECT_EQ(survey_now().slots_of[c], slots.size() + again.size()) << "class " << c;
            EXPECT_EQ(survey_now().slot_lanes_of[c], 1u) << "class " << c;
            free_all(again);
            free_all(slots);
            EXPECT_EQ(survey_now().slots_of[c], 0u) << "class " << c;
        });
    }
}

TEST_F(slot_lane_test, a_second_trim_has_nothing_to_give) {
    test::in_new_thread([] {
        auto slots = allocate_slots(4, 5 * capacity_of(4) - 300);  // the last lane is not carved to its end
        for (std::size_t i = 0; i < slots.size(); ++i) {
            if (i % 200 != 0) lanes_free(slots[i]);
        }
        EXPECT_GT(trim(0), 0u);
        EXPECT_EQ(trim(0), 0u);
        for (std::size_t i = 0; i < slots.size(); i += 200) lanes_free(slots[i]);
    });
}

// Lanes set aside half carved are taken up again before new ones are opened.
TEST_F(slot_lane_test, room_in_lanes_set_aside_is_used_before_another_lane_is_opened) {
    test::in_new_thread([] {
        constexpr unsigned c = 4;
        std::uint32_t capacity = capacity_of(c);
        auto pool = allocate_slots(c, 2 * capacity);
        std::vector<void*> kept;
        for (int round = 0; round < 40; ++round) {
            // A burst of frees in an old lane wakes it; what is allocated then is kept, so that the burst is used up.
            for (std::uint32_t i = 0; i < capacity / 4; ++i)
                lanes_free(pool[(static_cast<unsigned>(round) % 2) * capacity + i]);
            auto refilled = allocate_slots(c, capacity / 4 + 40);
            std::copy(refilled.begin(), refilled.begin() + capacity / 4, pool.begin() + (round % 2) * capacity);
            kept.insert(kept.end(), refilled.begin() + capacity / 4, refilled.end());
        }
        std::size_t live = pool.size() + kept.size();
        EXPECT_LE(survey_now().slot_lanes_of[c], live / capacity + 2) << live << " live slots";
        free_all(pool);
        free_all(kept);
    });
}

}  // namespace
}  // namespace lanes::heap
