// Highways that may not or cannot grow, and lose nothing then: limits and their callbacks, and storages that fail.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "highway_support.hpp"
#include "lanes/highway_options.hpp"

namespace {

using namespace lanes;
using namespace lanes::test;
using std::chrono::milliseconds;

// ---- limits

TEST(max_lanes, no_lane_is_made_beyond_it) {
    heap_highway h({.lanes = {kib, kib}, .default_lane_capacity = kib, .max_lanes = 3});
    std::vector<fragment> all = fill_up(h);
    all.push_back(h.allocate(kib));
    EXPECT_EQ(h.try_allocate(16).error(), errc::max_lanes_reached);
    EXPECT_EQ(thrown_by([&] { h.allocate(16); }), errc::max_lanes_reached);
    EXPECT_EQ(h.lane_count(), 3u);
    EXPECT_EQ(h.lanes_made(), 3u);
    h.close_lane(0);
    EXPECT_EQ(h.try_allocate(16).error(), errc::max_lanes_reached);
    h.dispose_lane(0);  // a disposed one does not count
    EXPECT_EQ(lane_of(h, h.allocate(16)), 3u);
    EXPECT_EQ(h.lane_count(), 3u);
    EXPECT_EQ(h.try_reopen_lane(0).error(), errc::max_lanes_reached);
    EXPECT_EQ(h.lanes_made(), 4u);
}

TEST(max_bytes, the_last_lane_is_as_large_as_what_is_left) {
    heap_highway h({.lanes = {kib}, .default_lane_capacity = 4 * kib, .max_bytes = 7 * kib});
    std::vector<fragment> all = fill_up(h);
    all.push_back(h.allocate(4 * kib));
    all.push_back(h.allocate(16));
    EXPECT_EQ(h[2].capacity(), 2 * kib);
    EXPECT_EQ(h.bytes_held(), 7 * kib);
    all.push_back(h.allocate(2 * kib - 16));
    EXPECT_EQ(h.try_allocate(1).error(), errc::max_bytes_reached);
    EXPECT_EQ(thrown_by([&] { h.allocate(1); }), errc::max_bytes_reached);
    EXPECT_EQ(h.lanes_made(), 3u);
    EXPECT_EQ(h.lane_count(), 3u);
    EXPECT_EQ(h.bytes_held(), 7 * kib);
}

TEST(max_bytes, a_lane_too_small_for_the_request_is_not_made) {
    heap_highway h({.lanes = {kib}, .max_bytes = 3 * kib});
    EXPECT_EQ(h.try_allocate(2 * kib + 1).error(), errc::max_bytes_reached);
    EXPECT_EQ(h.try_allocate(2 * kib, 64).error(), errc::max_bytes_reached);  // with room for the alignment
    EXPECT_EQ(h.try_allocate(highway_limits::max_lane_capacity).error(), errc::max_bytes_reached);
    EXPECT_EQ(h.lanes_made(), 1u);
    EXPECT_EQ(h.bytes_held(), kib);
    EXPECT_FALSE(h.allocate(2 * kib).empty());
}

TEST(max_bytes, counts_disposed_lanes_as_long_as_fragments_keep_them) {
    heap_highway h({.lanes = {2 * kib}, .default_lane_capacity = 2 * kib, .max_bytes = 2 * kib});
    fragment f = h.allocate(16);
    h.dispose_lane(0);
    EXPECT_EQ(h.try_allocate(16).error(), errc::max_bytes_reached);
    EXPECT_EQ(h.try_reopen_lane(0).error(), errc::max_bytes_reached);
    EXPECT_EQ(h.lane_count(), 0u);
    f.release();
    EXPECT_FALSE(h.allocate(16).empty());
    EXPECT_EQ(h.lanes_made(), 2u);
}

// Storages round up to pages; a lane has the room for which it was made once more.
TEST(max_bytes, a_lane_that_fitted_fits_again_when_it_is_reopened) {
    mapping_highway h({.lanes = {10'000}, .max_bytes = 10'000});
    std::uint64_t capacity = h[0].capacity();
    h.dispose_lane(0);
    EXPECT_EQ(h.bytes_held(), 0u);
    ASSERT_EQ(h.try_reopen_lane(0).error(), errc{});
    EXPECT_EQ(h[0].capacity(), capacity);
    EXPECT_EQ(h.bytes_held(), 10'000u);
}

template <class H>
struct limited_highway : ::testing::Test {
    scratch_directory directory;
};
using kinds = ::testing::Types<heap_highway, mapping_highway, memfd_highway>;
TYPED_TEST_SUITE(limited_highway, kinds);

TYPED_TEST(limited_highway, threads_together_stay_below_both_limits) {
    constexpr std::uint64_t most = 200 * kib;
    TypeParam h({.lanes = {4 * kib},
                 .default_lane_capacity = 12 * kib,
                 .concurrent_new_lanes = 4,
                 .new_lane_timeout = std::chrono::minutes(5),
                 .max_lanes = 30,
                 .max_bytes = most});
    std::atomic<unsigned> wrong = 0;
    in_threads(4, [&](unsigned t) {
        random_source random(t);
        std::vector<fragment> mine;
        for (int i = 0; i < 1500; ++i) {
            result<fragment> got = h.try_allocate(1 + random.below(8 * kib));
            if (h.bytes_held() > most || h.lane_count() > 30) ++wrong;
            if (got)
                mine.push_back(*std::move(got));
            else if (got.error() != errc::max_bytes_reached && got.error() != errc::max_lanes_reached)
                ++wrong;
            if (!got || mine.size() > 12) mine.clear();
            if (random.percent(3)) {
                // A lane behind it may have been made sooner than the one with that index.
                errc said = h.try_dispose_lane(random.below(h.lanes_made())).error();
                if (said != errc{} && said != errc::no_such_lane) ++wrong;
            }
        }
    });
    EXPECT_EQ(wrong, 0u);
    EXPECT_EQ(h.total_live(), 0u);
    EXPECT_EQ(h.bytes_held(), h.total_capacity());
    EXPECT_EQ(h.lane_count(), h.lanes().size());
}

// ---- the limits' callbacks

struct limit_case {
    const char* name;
    errc said;
    bool of_bytes;
};

struct limit_callback : ::testing::TestWithParam<limit_case> {
    std::atomic<int> asked = 0;
    heap_highway with(std::function<bool()> answer) {
        auto count = [this, answer] {
            ++asked;
            return answer();
        };
        if (GetParam().of_bytes) return heap_highway({.lanes = {kib}, .max_bytes = kib, .on_max_bytes = count});
        return heap_highway({.lanes = {kib}, .max_lanes = 1, .on_max_lanes = count});
    }
};
INSTANTIATE_TEST_SUITE_P(limits, limit_callback,
                         ::testing::Values(limit_case{"lanes", errc::max_lanes_reached, false},
                                           limit_case{"bytes", errc::max_bytes_reached, true}),
                         [](const auto& of) { return std::string(of.param.name); });

TEST_P(limit_callback, true_asks_for_an_empty_fragment) {
    heap_highway h = with([] { return true; });
    fragment full = h.allocate(kib);
    EXPECT_EQ(asked, 0);
    EXPECT_TRUE(h.allocate(16).empty());
    EXPECT_EQ(asked, 1);
    EXPECT_EQ(h.try_allocate(16).error(), GetParam().said);
    EXPECT_EQ(asked, 2);
    full.release();
    EXPECT_FALSE(h.allocate(16).empty());
    EXPECT_EQ(asked, 2);
}

TEST_P(limit_callback, false_lets_the_call_throw) {
    heap_highway h = with([] { return false; });
    fragment full = h.allocate(kib);
    EXPECT_EQ(thrown_by([&] { h.allocate(16); }), GetParam().said);
    EXPECT_EQ(h.try_allocate(16).error(), GetParam().said);
    EXPECT_EQ(asked, 2);
}

TEST_P(limit_callback, is_asked_once_an_allocation_however_long_that_waits) {
    heap_highway h = with([] { return true; });
    fragment full = h.allocate(kib);
    EXPECT_TRUE(h.allocate(16, 16, {.wait = milliseconds(30)}).empty());
    EXPECT_EQ(asked, 1);
    EXPECT_EQ(h.try_allocate(16, 16, {.wait = milliseconds(30)}).error(), GetParam().said);
    EXPECT_EQ(asked, 2);
}

TEST_P(limit_callback, one_that_throws_is_nested_in_the_error) {
    heap_highway h = with([]() -> bool { throw std::runtime_error("the pager is off"); });
    fragment full = h.allocate(kib);
    std::string nested;
    try {
        h.allocate(16);
    } catch (const error& e) {
        EXPECT_EQ(e.which(), errc::callback_failed);
        try {
            std::rethrow_if_nested(e);
        } catch (const std::runtime_error& inner) {
            nested = inner.what();
        }
    }
    EXPECT_EQ(nested, "the pager is off");
    EXPECT_EQ(h.try_allocate(16, 16, {.wait = for_ever}).error(), errc::callback_failed);
    EXPECT_EQ(asked, 2);
    EXPECT_EQ(h.lanes_made(), 1u);
    EXPECT_EQ(h.lane_count(), 1u);
    EXPECT_EQ(h.bytes_held(), kib);
    full.release();
    EXPECT_FALSE(h.allocate(kib).empty());
}

TEST_P(limit_callback, may_make_room_for_who_comes_next) {
    heap_highway* it = nullptr;
    heap_highway h = with([&] {
        it->dispose_lane(0);
        return true;
    });
    it = &h;
    {
        fragment full = h.allocate(kib);
        EXPECT_TRUE(h.allocate(16).empty());
    }
    EXPECT_EQ(lane_of(h, h.allocate(16)), 1u);
}

TEST_P(limit_callback, an_empty_fragment_is_for_the_limit_and_for_nothing_else) {
    heap_highway h = with([] { return true; });
    fragment full = h.allocate(kib);
    errc said{};
    std::thread other([&] { said = thrown_by([&] { h.allocate(16, 16, {.wait = for_ever}); }); });
    wait_until([&] { return asked == 1; });
    h.dispose();
    other.join();
    EXPECT_EQ(said, errc::highway_disposed);
}

// ---- storages that say no

struct refused_file_highway : ::testing::Test {
    scratch_directory directory;
    std::size_t descriptors = open_descriptors();

    result<file_highway> make(bool keep, const char* name = "lane") const {
        return file_highway::try_create({.lanes = {8 * kib, 8 * kib}, .default_lane_capacity = 8 * kib},
                                        {.path = directory / "on" / name, .keep = keep});
    }
    void SetUp() override { std::filesystem::create_directory(directory / "on"); }
    void TearDown() override { EXPECT_EQ(open_descriptors(), descriptors); }
};

// All is as it was before a refused growth. Returns the line that does not hold.
int is_unchanged(const highway& h) {
    CHILD_REQUIRE(h.lane_count() == 2);
    CHILD_REQUIRE(h.lanes_made() == 2);
    CHILD_REQUIRE(h.lanes().size() == 2);
    CHILD_REQUIRE(h.bytes_held() == 16 * kib);
    return 0;
}

TEST_F(refused_file_highway, a_directory_that_is_gone_is_an_error_and_no_lost_lane) {
    EXPECT_EQ(file_highway::try_create({}, {.path = directory / "no" / "lane"}).error(), errc::file_not_found);
    for (bool keep : {false, true}) {
        file_highway h = *make(keep);
        auto full = fill_up(h);
        std::filesystem::rename(directory / "on", directory / "gone");
        for (int i = 0; i < 5; ++i) EXPECT_EQ(h.try_allocate(16).error(), errc::file_not_found);
        EXPECT_EQ(thrown_by([&] { h.allocate(16, 16, {.wait = for_ever}); }), errc::file_not_found);
        EXPECT_EQ(is_unchanged(h), 0);
        h.dispose_lane(1);
        EXPECT_EQ(h.try_reopen_lane(1).error(), errc::file_not_found);
        EXPECT_EQ(h.lane_count(), 1u);
        std::filesystem::rename(directory / "gone", directory / "on");
        fragment f = h.allocate(kib);
        EXPECT_EQ(lane_of(h, f), 2u);
        EXPECT_EQ(h.lanes_made(), 3u);
        mark(f, 1);
        EXPECT_TRUE(is_marked(f, 1));
        full.clear();
        h.reopen_lane(1);  // if the old lane's file was to stay, the new one has its name now
        EXPECT_EQ(h.lane_count(), 3u);
    }
}

TEST_F(refused_file_highway, a_name_that_is_taken_is_an_error_and_no_lost_lane) {
    file_highway h = *make(true);
    auto full = fill_up(h);
    std::ofstream(directory / "on" / "lane.2") << "mine";
    EXPECT_EQ(h.try_allocate(16).error(), errc::file_exists);
    EXPECT_EQ(is_unchanged(h), 0);
    EXPECT_EQ(contents_of(directory / "on" / "lane.2"), "mine");
    std::filesystem::remove(directory / "on" / "lane.2");
    EXPECT_EQ(lane_of(h, h.allocate(16)), 2u);
}

TEST_F(refused_file_highway, a_full_disk_is_an_error_and_no_lost_lane) {
    EXPECT_EQ(in_child([&] {
                  file_highway h = *make(true);
                  auto full = fill_up(h);
                  CHILD_REQUIRE(refuse(SYS_fallocate, ENOSPC));
                  for (int i = 0; i < 3; ++i) {
                      auto none = h.try_allocate(16);
                      CHILD_REQUIRE(none.error() == errc::disk_full);
                      CHILD_REQUIRE(none.system_error() == ENOSPC);
                  }
                  CHILD_REQUIRE(thrown_by([&] { h.allocate(16, 16, {.wait = milliseconds(5)}); }) == errc::disk_full);
                  CHILD_REQUIRE(make(true, "other").error() == errc::disk_full);
                  full.clear();
                  CHILD_REQUIRE(!h.allocate(16).empty());
                  return is_unchanged(h);
              }),
              0);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory / "on"), {}), 2);
}

TEST_F(refused_file_highway, what_has_no_code_of_its_own_is_new_lane_failed) {
    EXPECT_EQ(in_child([&] {
                  file_highway h = *make(false);
                  auto full = fill_up(h);
                  CHILD_REQUIRE(refuse(SYS_fallocate, EIO));
                  auto none = h.try_allocate(16);
                  CHILD_REQUIRE(none.error() == errc::new_lane_failed);
                  CHILD_REQUIRE(none.system_error() == EIO);
                  try {
                      h.allocate(16);
                      return 1;
                  } catch (const error& e) {
                      CHILD_REQUIRE(e.which() == errc::new_lane_failed);
                      CHILD_REQUIRE(e.system_error() == EIO);
                  }
                  return is_unchanged(h);
              }),
              0);
}

TEST_F(refused_file_highway, a_directory_that_may_not_be_written_to_is_an_error_and_no_lost_lane) {
    using std::filesystem::perms;
    ASSERT_EQ(geteuid() == 0 ? chown((directory / "on").c_str(), 65534, 65534) : 0, 0);
    EXPECT_EQ(in_child([&] {
                  CHILD_REQUIRE(become_nobody());
                  file_highway h = *make(false);
                  auto full = fill_up(h);
                  std::filesystem::permissions(directory / "on", perms(0555));
                  CHILD_REQUIRE(h.try_allocate(16).error() == errc::permission_denied);
                  CHILD_REQUIRE(thrown_by([&] { h.allocate(16, 16, {.wait = for_ever}); }) == errc::permission_denied);
                  CHILD_REQUIRE(make(true, "other").error() == errc::permission_denied);
                  CHILD_REQUIRE(make(false, "other").error() == errc::permission_denied);
                  CHILD_REQUIRE(is_unchanged(h) == 0);
                  std::filesystem::permissions(directory / "on", perms(0755));
                  CHILD_REQUIRE(lane_of(h, h.allocate(16)) == 2);
                  return 0;
              }),
              0);
}

TEST(refused_memory, is_an_error_and_no_lost_lane) {
    if (sanitized) GTEST_SKIP() << "a sanitizer's own memory is refused, too";
    EXPECT_EQ(
        in_child([&] {
            mapping_highway h({.lanes = {8 * kib, 8 * kib}, .default_lane_capacity = 64 * mib});
            auto full = fill_up(h);
            CHILD_REQUIRE(refuse(SYS_mmap, ENOMEM));
            CHILD_REQUIRE(h.try_allocate(16).error() == errc::out_of_memory);
            CHILD_REQUIRE(thrown_by([&] { h.allocate(16, 16, {.wait = milliseconds(5)}); }) == errc::out_of_memory);
            CHILD_REQUIRE(is_unchanged(h) == 0);
            full.clear();
            CHILD_REQUIRE(!h.allocate(16).empty());
            return is_unchanged(h);
        }),
        0);
}

TEST(new_lanes_between_processes, are_not_made_for_an_alignment_that_none_could_keep) {
    scratch_directory directory;
    auto refuses = [](highway& h) {
        for (std::uint64_t alignment : {std::uint64_t{8192}, max_alignment}) {
            for (const effort& how : {effort{}, effort{.tries = 1, .wait = for_ever}}) {
                EXPECT_EQ(h.try_allocate(16, alignment, how).error(), errc::bad_alignment);
                EXPECT_EQ(thrown_by([&] { h.allocate(16, alignment, how); }), errc::bad_alignment);
            }
        }
        EXPECT_EQ(h.lanes_made(), 1u);
        EXPECT_EQ(h.bytes_held(), 64 * kib);
        EXPECT_EQ(number(h.allocate(16, 4096).data()) % 4096, 0u);
        EXPECT_EQ(h.lanes_made(), 1u);
    };
    memfd_highway in_memory({.lanes = {64 * kib}});
    file_highway in_files({.lanes = {64 * kib}}, {.path = directory / "lane"});
    refuses(in_memory);
    refuses(in_files);
}

}  // namespace
