// What every highway promises, whether threads share it, on whatever storage, or one thread owns it.
#include <gtest/gtest.h>

#include <type_traits>
#include <utility>
#include <vector>

#include "lanes/owned_highway.hpp"
#include "tests/lane/highway_support.hpp"

namespace {

using namespace lanes;
using namespace lanes::test;

template <class H>
struct each_highway : ::testing::Test {
    static constexpr bool is_owned = std::is_same_v<H, owned_highway>;
    static constexpr std::uint64_t lane_bytes = 64 * kib;
    scratch_directory directory;

    H make(std::uint64_t max_bytes = highway_limits::max_bytes, const char* name = "lane") const {
        if constexpr (is_owned) {
            return H({.lane_bytes = lane_bytes, .max_bytes = max_bytes});
        } else {
            return H({.lanes = {lane_bytes}, .default_lane_capacity = lane_bytes, .max_bytes = max_bytes},
                     storage_in<H>(directory, name));
        }
    }
    // Fragments of so many bytes until there is no room for another.
    static std::vector<fragment> fill(H& highway, std::uint64_t bytes) {
        std::vector<fragment> all;
        for (;;) {
            result<fragment> f = highway.try_allocate(bytes);
            if (!f) {
                EXPECT_EQ(f.error(), errc::max_bytes_reached);
                return all;
            }
            all.push_back(*std::move(f));
            mark(all.back(), all.size());
        }
    }
    static bool are_marked(const std::vector<fragment>& all) {
        for (std::size_t i = 0; i < all.size(); ++i) {
            if (!is_marked(all[i], i + 1)) return false;
        }
        return true;
    }
};
struct names_of_each {
    template <class H>
    static std::string GetName(int number) {
        if constexpr (std::is_same_v<H, owned_highway>) return "owned";
        return names_of_highways::GetName<H>(number);
    }
};
using each_kind = ::testing::Types<heap_highway, mapping_highway, file_highway, memfd_highway, owned_highway>;
TYPED_TEST_SUITE(each_highway, each_kind, names_of_each);

TYPED_TEST(each_highway, refuses_what_it_could_never_give_in_every_state) {
    TypeParam fresh = this->make(mib, "fresh"), used = this->make(mib, "used"), full = this->make(mib, "full");
    fragment kept = used.allocate(10);
    mark(kept, 1);
    std::vector<fragment> all = this->fill(full, 1000);
    for (TypeParam* h : {&fresh, &used, &full}) {
        std::uint64_t held = h->bytes_held(), live = h->total_live();
        std::uint64_t beyond = this->is_owned ? mib + 1 : highway_limits::max_lane_capacity + 1;
        for (std::uint64_t bytes : {std::uint64_t{0}, wrapped, wrapped - 4095, std::uint64_t{1} << 63, beyond}) {
            EXPECT_EQ(h->try_allocate(bytes).error(), errc::size_out_of_range) << bytes;
            EXPECT_EQ(thrown_by([&] { h->allocate(bytes); }), errc::size_out_of_range) << bytes;
        }
        for (std::uint64_t alignment : {std::uint64_t{0}, std::uint64_t{3}, std::uint64_t{24}, std::uint64_t{48},
                                        2 * max_alignment, std::uint64_t{1} << 63, wrapped}) {
            EXPECT_EQ(h->try_allocate(16, alignment).error(), errc::bad_alignment) << alignment;
            EXPECT_EQ(thrown_by([&] { h->allocate(16, alignment); }), errc::bad_alignment) << alignment;
        }
        EXPECT_EQ(h->bytes_held(), held);
        EXPECT_EQ(h->total_live(), live);
    }
    EXPECT_TRUE(is_marked(kept, 1));
    EXPECT_TRUE(this->are_marked(all));
    all.clear();
    EXPECT_EQ(full.total_live(), 0u);
}

TYPED_TEST(each_highway, a_move_takes_what_it_holds_and_leaves_it_without_initialisation) {
    TypeParam highway = this->make();
    fragment f = highway.allocate(100);
    mark(f, 1);
    TypeParam moved = std::move(highway);
    EXPECT_EQ(highway.try_allocate(1).error(), errc::not_initialised);
    EXPECT_EQ(thrown_by([&] { highway.allocate(1); }), errc::not_initialised);
    EXPECT_EQ(highway.lane_count() + highway.total_live() + highway.bytes_held(), 0u);
    EXPECT_FALSE(highway.trace().empty());

    EXPECT_EQ(moved.total_live(), 1u);
    EXPECT_EQ(f.check(), errc{});
    EXPECT_TRUE(is_marked(f, 1));
    EXPECT_EQ(f.release(), errc{});
    auto& same = moved;
    moved = std::move(same);
    highway = std::move(moved);
    EXPECT_EQ(highway.allocate(100).size(), 100u);
}

TYPED_TEST(each_highway, assigning_over_it_leaves_its_fragments_valid) {
    TypeParam highway = this->make(), other = this->make(mib, "other");
    fragment f = highway.allocate(5000), g = other.allocate(100);
    mark(f, 1);
    mark(g, 2);
    highway = std::move(other);
    EXPECT_EQ(f.check(), errc::lane_disposed);
    EXPECT_TRUE(is_marked(f, 1));
    EXPECT_EQ(g.check(), errc{});
    EXPECT_EQ(highway.total_live(), 1u);
    EXPECT_EQ(f.release(), errc{});
    EXPECT_EQ(g.release(), errc{});
    EXPECT_EQ(highway.total_live(), 0u);
}

TYPED_TEST(each_highway, at_max_bytes_nothing_is_lost_and_freed_room_comes_back) {
    for (std::uint64_t bytes : {std::uint64_t{100}, std::uint64_t{1000}, 10 * kib, 40 * kib, 100 * kib, 700 * kib}) {
        TypeParam highway = this->make(2 * mib);
        std::vector<fragment> all = this->fill(highway, bytes);
        std::size_t most = all.size();
        ASSERT_GE(most, 2u);
        for (int round = 0; round < 3; ++round) {
            EXPECT_LE(highway.bytes_held(), 2 * mib);
            EXPECT_EQ(highway.total_live(), all.size());
            EXPECT_EQ(thrown_by([&] { highway.allocate(bytes); }), errc::max_bytes_reached);
            EXPECT_TRUE(this->are_marked(all)) << bytes << " bytes, round " << round;
            all.clear();
            EXPECT_EQ(highway.total_live(), 0u);
            all = this->fill(highway, bytes);
            EXPECT_EQ(all.size(), most) << bytes << " bytes, round " << round;
        }
    }
}

TYPED_TEST(each_highway, trim_leaves_what_is_alive) {
    TypeParam highway = this->make();
    fragment f = highway.allocate(this->lane_bytes / 2), other = highway.allocate(this->lane_bytes / 2);
    mark(f, 9);
    other.release();
    highway.trim();
    EXPECT_TRUE(is_marked(f, 9));
    EXPECT_EQ(highway.total_live(), 1u);
    fragment next = highway.allocate(this->lane_bytes / 2);
    mark(next, 10);
    EXPECT_TRUE(is_marked(f, 9) && is_marked(next, 10));
}

}  // namespace
