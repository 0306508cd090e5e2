// Fragments and slots: what is written is read, nothing outside is touched, and a stale one is an error code.
#include "lanes/fragment.hpp"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <thread>
#include <type_traits>
#include <vector>

#include "lanes/lane.hpp"
#include "lanes/owned_lane.hpp"
#include "tests/lane/lane_support.hpp"

namespace {

using namespace lanes;
using namespace lanes::test;

constexpr std::byte untouched{0xa5};

static_assert(!std::is_copy_constructible_v<fragment> && !std::is_copy_assignable_v<fragment>);
static_assert(std::is_nothrow_move_constructible_v<fragment> && std::is_nothrow_move_assignable_v<fragment>);
static_assert(!std::is_copy_constructible_v<slot> && std::is_nothrow_move_constructible_v<slot>);

using id = std::array<std::uint8_t, 16>;

struct record {
    std::uint16_t kind;
    double weight;
    char name[5];
    friend bool operator==(const record& a, const record& b) {
        return a.kind == b.kind && a.weight == b.weight && std::memcmp(a.name, b.name, sizeof a.name) == 0;
    }
};

// Trivially copyable, and only made from a value.
struct handle {
    explicit handle(int n) : number(n) {}
    int number;
    friend bool operator==(const handle&, const handle&) = default;
};

void expect_untouched(std::span<const std::byte> bytes, std::uint64_t from, std::uint64_t size) {
    for (std::uint64_t i = 0; i < bytes.size(); ++i) {
        if (i < from || i >= from + size) {
            ASSERT_EQ(bytes[i], untouched) << i << " was touched by a write of " << size << " at " << from;
        }
    }
}

// Writes and reads both values at every offset of a fragment, in each of the three forms; and just outside.
template <class T>
void expect_round_trips(const T& a, const T& b) {
    heap_lane lane(256);
    fragment f = lane.allocate(sizeof(T) + 19);
    std::uint64_t last = f.size() - sizeof(T);
    for (std::uint64_t at = 0; at <= last; ++at) {
        for (const T& value : {a, b}) {
            auto refill = [&] { std::fill(f.bytes().begin(), f.bytes().end(), untouched); };
            refill();
            ASSERT_EQ(f.write(at, value), at + sizeof(T));
            ASSERT_EQ(f.read<T>(at), value);
            expect_untouched(f.bytes(), at, sizeof(T));
            refill();
            ASSERT_EQ(f.try_write(at, value).value(), at + sizeof(T));
            ASSERT_EQ(f.try_read<T>(at).value(), value);
            expect_untouched(f.bytes(), at, sizeof(T));
            refill();
            ASSERT_EQ(f.unchecked_write(at, value), at + sizeof(T));
            ASSERT_EQ(f.unchecked_read<T>(at), value);
            expect_untouched(f.bytes(), at, sizeof(T));
        }
    }
    std::fill(f.bytes().begin(), f.bytes().end(), untouched);
    for (std::uint64_t at :
         {last + 1, f.size(), f.size() + 1, wrapped, wrapped - sizeof(T) + 1, wrapped - sizeof(T), wrapped / 2 + 1}) {
        EXPECT_EQ(f.try_read<T>(at).error(), errc::out_of_bounds) << at;
        EXPECT_EQ(f.try_write(at, a).error(), errc::out_of_bounds) << at;
        EXPECT_EQ(thrown_by([&] { (void)f.read<T>(at); }), errc::out_of_bounds) << at;
        EXPECT_EQ(thrown_by([&] { f.write(at, a); }), errc::out_of_bounds) << at;
    }
    expect_untouched(f.bytes(), 0, 0);
}

TEST(fragment, reads_back_what_was_written_for_every_kind_of_value_at_every_offset) {
    expect_round_trips<bool>(true, false);
    expect_round_trips<char>('x', '\0');
    expect_round_trips<char32_t>(U'\x1F600', U'a');
    expect_round_trips<std::byte>(std::byte{1}, std::byte{255});
    expect_round_trips<std::int8_t>(-128, 127);
    expect_round_trips<std::uint16_t>(0xfffe, 1);
    expect_round_trips<std::int32_t>(std::numeric_limits<std::int32_t>::min(), 7);
    expect_round_trips<std::uint64_t>(wrapped, 0x0123456789abcdef);
    expect_round_trips<float>(-0.25f, std::numeric_limits<float>::infinity());
    expect_round_trips<double>(1e308, -std::numeric_limits<double>::denorm_min());
    expect_round_trips<const void*>(nullptr, &wrapped);
    expect_round_trips(std::chrono::system_clock::now(), std::chrono::system_clock::time_point::min());
    expect_round_trips(std::chrono::steady_clock::now(), std::chrono::steady_clock::time_point{});
    expect_round_trips<std::chrono::nanoseconds>(std::chrono::nanoseconds(-1), std::chrono::nanoseconds(1));
    expect_round_trips(id{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, id{255});
    expect_round_trips(record{7, 0.5, "abcd"}, record{65535, -1e9, "...."});
}

TEST(fragment, values_need_no_default_constructor) { expect_round_trips(handle(-3), handle(1 << 30)); }

TEST(fragment, keeps_a_nan_bit_for_bit) {
    slot s(8);
    std::uint64_t bits = 0x7ff4deadbeef0001;
    s.write(0, bits);
    auto nan = s.read<double>(0);
    EXPECT_TRUE(std::isnan(nan));
    s.write(0, std::uint64_t{0});
    s.write(0, nan);
    EXPECT_EQ(s.read<std::uint32_t>(0), 0xbeef0001u);
}

TEST(fragment, values_follow_one_another_by_the_offset_that_write_gives) {
    heap_lane lane(64);
    fragment f = lane.allocate(64);
    std::uint64_t next = f.write(0, true);
    next = f.write(next, 3.5);
    next = f.write(next, std::int16_t{-2});
    next = f.write_bytes(next, std::as_bytes(std::span("tail")));
    EXPECT_EQ(next, 1u + 8u + 2u + 5u);
    EXPECT_TRUE(f.read<bool>(0));
    EXPECT_EQ(f.read<double>(1), 3.5);
    EXPECT_EQ(f.read<std::int16_t>(9), -2);
    EXPECT_EQ(f.read<char>(11), 't');
}

TEST(fragment, a_value_larger_than_the_fragment_is_out_of_bounds) {
    heap_lane lane(64);
    fragment f = lane.allocate(7);
    EXPECT_EQ(f.try_read<std::uint64_t>(0).error(), errc::out_of_bounds);
    EXPECT_EQ(f.try_write(0, 1.0).error(), errc::out_of_bounds);
    EXPECT_EQ(f.try_read<std::uint8_t>(6).error(), errc{});
    EXPECT_EQ(f.try_read<std::uint8_t>(7).error(), errc::out_of_bounds);
}

TEST(fragment, copies_ranges_in_and_out) {
    heap_lane lane(256);
    fragment f = lane.allocate(100);
    std::vector<std::byte> in(40), out(40);
    fill(in.data(), in.size(), 1);
    std::fill(f.bytes().begin(), f.bytes().end(), untouched);
    EXPECT_EQ(f.write_bytes(13, in), 53u);
    expect_untouched(f.bytes(), 13, 40);
    EXPECT_EQ(f.read_bytes(13, out), 53u);
    EXPECT_EQ(in, out);
    EXPECT_EQ(f.try_write_bytes(60, in).value(), 100u);
    EXPECT_EQ(f.try_read_bytes(60, out).value(), 100u);
    EXPECT_EQ(in, out);
    std::vector<std::byte> all = f.copy();
    ASSERT_EQ(all.size(), 100u);
    EXPECT_EQ(std::memcmp(all.data(), f.data(), 100), 0);
}

TEST(fragment, ranges_that_do_not_fit_change_nothing) {
    heap_lane lane(256);
    fragment f = lane.allocate(100);
    std::fill(f.bytes().begin(), f.bytes().end(), untouched);
    std::vector<std::byte> buffer(40, std::byte{1});
    for (std::uint64_t at :
         {std::uint64_t{61}, std::uint64_t{100}, std::uint64_t{101}, wrapped, wrapped - 39, wrapped - 38}) {
        EXPECT_EQ(f.try_write_bytes(at, buffer).error(), errc::out_of_bounds) << at;
        EXPECT_EQ(f.try_read_bytes(at, buffer).error(), errc::out_of_bounds) << at;
        EXPECT_EQ(thrown_by([&] { f.write_bytes(at, buffer); }), errc::out_of_bounds) << at;
        EXPECT_EQ(thrown_by([&] { f.read_bytes(at, buffer); }), errc::out_of_bounds) << at;
    }
    expect_untouched(f.bytes(), 0, 0);
    EXPECT_EQ(buffer, std::vector<std::byte>(40, std::byte{1}));
}

TEST(fragment, a_range_of_nothing_may_begin_at_the_end_and_not_behind_it) {
    heap_lane lane(64);
    fragment f = lane.allocate(10);
    EXPECT_EQ(f.try_write_bytes(10, {}).value(), 10u);
    EXPECT_EQ(f.try_read_bytes(10, {}).value(), 10u);
    EXPECT_EQ(f.try_write_bytes(11, {}).error(), errc::out_of_bounds);
    EXPECT_EQ(f.try_read_bytes(wrapped, {}).error(), errc::out_of_bounds);
}

TEST(fragment, ranges_may_overlap_the_fragment_itself) {
    heap_lane lane(4096);
    fragment f = lane.allocate(1000);
    auto refill = [&] {
        for (std::uint64_t i = 0; i < f.size(); ++i) f[i] = static_cast<std::byte>(i % 251);
    };
    refill();
    f.write_bytes(1, f.bytes().first(999));
    for (std::uint64_t i = 1; i < f.size(); ++i) ASSERT_EQ(f[i], static_cast<std::byte>((i - 1) % 251)) << i;
    refill();
    f.read_bytes(0, f.bytes().subspan(1));
    for (std::uint64_t i = 1; i < f.size(); ++i) ASSERT_EQ(f[i], static_cast<std::byte>((i - 1) % 251)) << i;
}

TEST(fragment, gives_single_bytes_by_index) {
    heap_lane lane(64);
    fragment f = lane.allocate(20);
    for (std::uint64_t i = 0; i < 20; ++i) f[i] = static_cast<std::byte>(i);
    EXPECT_EQ(&f.at(19), f.data() + 19);
    f.at(19) = std::byte{77};
    EXPECT_EQ(f[19], std::byte{77});
    for (std::uint64_t i : {std::uint64_t{20}, std::uint64_t{21}, wrapped}) {
        EXPECT_EQ(thrown_by([&] { (void)f.at(i); }), errc::out_of_bounds) << i;
    }
}

TEST(fragment, spans_have_as_many_whole_elements_as_fit) {
    heap_lane lane(256);
    fragment f = lane.allocate(31);
    EXPECT_EQ(f.bytes().data(), f.data());
    EXPECT_EQ(f.bytes().size(), 31u);
    EXPECT_EQ(f.try_bytes().value().size(), 31u);
    EXPECT_EQ(f.unchecked_bytes().size(), 31u);
    EXPECT_EQ(f.span<std::uint8_t>().size(), 31u);
    EXPECT_EQ(f.span<std::uint16_t>().size(), 15u);
    EXPECT_EQ(f.try_span<double>().value().size(), 3u);
    EXPECT_EQ(f.unchecked_span<double>().size(), 3u);
    EXPECT_EQ(f.span<id>().size(), 1u);
    EXPECT_EQ((f.span<std::array<double, 4>>().size()), 0u);
    std::span<double> numbers = f.span<double>();
    numbers[2] = 2.25;
    EXPECT_EQ(f.read<double>(16), 2.25);
    std::span<const double> constant = f.span<const double>();
    EXPECT_EQ(constant[2], 2.25);
    EXPECT_EQ(f.read<const double>(16), 2.25);
}

TEST(fragment, a_span_over_misaligned_bytes_is_refused) {
    alignas(16) std::byte buffer[64];
    for (std::uint64_t skew : {1u, 2u, 4u, 8u}) {
        slot s(std::span<std::byte>(buffer).subspan(skew));
        EXPECT_EQ(s.try_span<long double>().error(), errc::bad_alignment) << skew;
        EXPECT_EQ(s.try_span<std::uint64_t>().error(), skew < 8 ? errc::bad_alignment : errc{}) << skew;
        EXPECT_EQ(s.try_span<std::uint32_t>().error(), skew < 4 ? errc::bad_alignment : errc{}) << skew;
        EXPECT_EQ(s.try_span<std::uint16_t>().error(), skew < 2 ? errc::bad_alignment : errc{}) << skew;
        EXPECT_EQ(s.try_span<char>().error(), errc{}) << skew;
        EXPECT_EQ(thrown_by([&] { (void)s.span<long double>(); }), errc::bad_alignment) << skew;
        s.write(0, 1.5);
        EXPECT_EQ(s.read<double>(0), 1.5) << "reads and writes need no alignment";
    }
}

template <class F>
void expect_refused(const F& f, errc code) {
    std::byte buffer[4]{};
    EXPECT_EQ(f.check(), code);
    EXPECT_EQ(f.try_bytes().error(), code);
    EXPECT_EQ(f.template try_span<char>().error(), code);
    EXPECT_EQ(f.template try_read<int>(0).error(), code);
    EXPECT_EQ(f.try_write(0, 1).error(), code);
    EXPECT_EQ(f.try_read_bytes(0, buffer).error(), code);
    EXPECT_EQ(f.try_write_bytes(0, buffer).error(), code);
    EXPECT_EQ(f.template try_read<int>(wrapped).error(), code) << "before it is looked at the range";
    EXPECT_EQ(thrown_by([&] { (void)f.bytes(); }), code);
    EXPECT_EQ(thrown_by([&] { (void)f.template span<char>(); }), code);
    EXPECT_EQ(thrown_by([&] { (void)f.template read<int>(0); }), code);
    EXPECT_EQ(thrown_by([&] { f.write(0, 1); }), code);
    EXPECT_EQ(thrown_by([&] { f.read_bytes(0, buffer); }), code);
    EXPECT_EQ(thrown_by([&] { f.write_bytes(0, buffer); }), code);
    EXPECT_EQ(thrown_by([&] { (void)f.at(0); }), code);
    EXPECT_EQ(thrown_by([&] { (void)f.copy(); }), code);
}

void expect_empty(const fragment& f) {
    EXPECT_TRUE(f.empty());
    EXPECT_FALSE(f);
    EXPECT_EQ(f.data(), nullptr);
    EXPECT_EQ(f.size(), 0u);
    EXPECT_EQ(f.core(), nullptr);
    EXPECT_EQ(f.type(), storage_type::slot);
    EXPECT_TRUE(f.unchecked_bytes().empty());
    expect_refused(f, errc::not_initialised);
}

TEST(fragment, an_empty_one_refuses_everything) {
    fragment f;
    expect_empty(f);
    EXPECT_EQ(f.release(), errc::not_initialised);
    expect_empty(f);
}

// The promises below hold in every kind of lane.
template <class Lane>
class fragment_of : public testing::Test {
  protected:
    Lane lane{4096};
};
using lane_kinds = testing::Types<heap_lane, mapping_lane, memfd_lane, owned_heap_lane, owned_mapping_lane>;
TYPED_TEST_SUITE(fragment_of, lane_kinds);

TYPED_TEST(fragment_of, says_where_its_bytes_lie_and_how_many_there_are) {
    fragment f = this->lane.allocate(100);
    EXPECT_EQ(f.type(), this->lane.type());
    EXPECT_EQ(f.size(), 100u);
    EXPECT_FALSE(f.empty());
    EXPECT_TRUE(f);
    EXPECT_EQ(f.check(), errc{});
    EXPECT_EQ(f.data(), this->lane.bytes().data());
}

TYPED_TEST(fragment_of, is_empty_after_its_release) {
    fragment f = this->lane.allocate(100);
    EXPECT_EQ(this->lane.live(), 1u);
    EXPECT_EQ(f.release(), errc{});
    EXPECT_EQ(this->lane.live(), 0u);
    expect_empty(f);
    EXPECT_EQ(f.release(), errc::not_initialised);
    EXPECT_EQ(this->lane.cycle(), 1u) << "a second release must not count";
}

TYPED_TEST(fragment_of, moves_and_leaves_an_empty_one) {
    fragment a = this->lane.allocate(100);
    mark(a, 5);
    std::byte* at = a.data();
    fragment b(std::move(a));
    expect_empty(a);
    EXPECT_EQ(b.data(), at);
    EXPECT_EQ(b.size(), 100u);
    EXPECT_TRUE(is_marked(b, 5));
    EXPECT_EQ(this->lane.live(), 1u);

    fragment c = this->lane.allocate(8);
    EXPECT_EQ(this->lane.live(), 2u);
    c = std::move(b);
    EXPECT_EQ(this->lane.live(), 1u) << "what it held before is released";
    expect_empty(b);
    EXPECT_EQ(c.data(), at);
    EXPECT_TRUE(is_marked(c, 5));
    c = fragment();
    EXPECT_EQ(this->lane.live(), 0u);
}

TYPED_TEST(fragment_of, survives_a_move_to_itself) {
    fragment f = this->lane.allocate(100);
    mark(f, 6);
    fragment& same = f;
    f = std::move(same);
    EXPECT_EQ(f.check(), errc{});
    EXPECT_EQ(f.size(), 100u);
    EXPECT_TRUE(is_marked(f, 6));
    EXPECT_EQ(this->lane.live(), 1u);
}

TYPED_TEST(fragment_of, is_released_by_its_destructor) {
    {
        std::vector<fragment> many;
        for (int i = 0; i < 20; ++i) many.push_back(this->lane.allocate(10));
        EXPECT_EQ(this->lane.live(), 20u);
        many.erase(many.begin() + 3, many.begin() + 8);
        EXPECT_EQ(this->lane.live(), 15u);
    }
    EXPECT_EQ(this->lane.live(), 0u);
    EXPECT_EQ(this->lane.offset(), 0u);
}

TYPED_TEST(fragment_of, can_be_taken_apart_and_put_together) {
    fragment a = this->lane.allocate(50);
    mark(a, 9);
    fragment::parts p = a.detach();
    expect_empty(a);
    EXPECT_EQ(a.release(), errc::not_initialised);
    EXPECT_EQ(this->lane.live(), 1u);
    fragment b(p);
    EXPECT_EQ(b.check(), errc{});
    EXPECT_TRUE(is_marked(b, 9));
    EXPECT_EQ(b.release(), errc{});
    EXPECT_EQ(this->lane.live(), 0u);
}

TYPED_TEST(fragment_of, of_a_closed_lane_says_so_until_it_is_reopened) {
    fragment f = this->lane.allocate(64);
    mark(f, 1);
    this->lane.close();
    expect_refused(f, errc::lane_closed);
    EXPECT_TRUE(holds(f.unchecked_bytes().data(), 64, 1)) << "unchecked access does not ask";
    f.unchecked_write(0, 17);
    this->lane.reopen();
    EXPECT_EQ(f.check(), errc{});
    EXPECT_EQ(f.template read<int>(0), 17);
    this->lane.close();
    EXPECT_EQ(f.release(), errc{}) << "releases go on";
    EXPECT_EQ(this->lane.live(), 0u);
}

TYPED_TEST(fragment_of, of_a_lane_reset_by_force_says_wrong_cycle) {
    fragment f = this->lane.allocate(64);
    EXPECT_EQ(this->lane.force_reset(), 1u);
    expect_refused(f, errc::wrong_cycle);
    fragment next = this->lane.allocate(64);
    EXPECT_EQ(next.data(), f.data());
    mark(next, 2);
    this->lane.close();
    EXPECT_EQ(f.check(), errc::wrong_cycle) << "that says more than closed";
    EXPECT_EQ(f.release(), errc::wrong_cycle);
    EXPECT_EQ(this->lane.live(), 1u) << "the release of an orphan counts nothing";
    EXPECT_TRUE(is_marked(next, 2));
}

TYPED_TEST(fragment_of, of_a_disposed_lane_says_so_and_keeps_its_bytes) {
    fragment f = this->lane.allocate(64);
    mark(f, 3);
    this->lane.dispose();
    expect_refused(f, errc::lane_disposed);
    EXPECT_TRUE(holds(f.unchecked_bytes().data(), 64, 3));
    f.unchecked_write(60, 1);
    EXPECT_EQ(f.release(), errc{});
}

TYPED_TEST(fragment_of, of_a_lane_that_is_gone_says_disposed_and_keeps_its_bytes) {
    fragment f = this->lane.allocate(64), orphan = this->lane.allocate(64);
    this->lane.force_reset();
    f = this->lane.allocate(64);
    mark(f, 4);
    this->lane = TypeParam();
    expect_refused(f, errc::lane_disposed);
    expect_refused(orphan, errc::wrong_cycle);
    EXPECT_TRUE(is_marked(f, 4));
    EXPECT_EQ(f.release(), errc{});
    std::memset(orphan.data(), 1, 64);
    EXPECT_EQ(orphan.release(), errc::wrong_cycle);
}

TYPED_TEST(fragment_of, goes_to_another_thread_and_is_released_there) {
    fragment f = this->lane.allocate(64), stays = this->lane.allocate(64);
    mark(f, 8);
    errc said = errc::system_failure;
    bool same = false;
    std::thread([g = std::move(f), &said, &same]() mutable {
        same = is_marked(g, 8);
        said = g.release();
    }).join();
    EXPECT_TRUE(same);
    EXPECT_EQ(said, errc{});
    EXPECT_EQ(this->lane.live(), 1u);
}

TEST(slot, has_a_block_of_its_own) {
    for (std::uint64_t bytes : {1u, 15u, 16u, 17u, 4096u, 100000u}) {
        for (std::uint64_t alignment : {1u, 2u, 16u, 64u, 4096u, 1u << 20}) {
            slot s(bytes, alignment);
            EXPECT_EQ(s.size(), bytes);
            EXPECT_EQ(number(s.data()) % alignment, 0u) << alignment;
            EXPECT_EQ(s.check(), errc{});
            fill(s.data(), bytes, bytes);  // to the last byte, under the eyes of ASan
            slot other(bytes, alignment);
            fill(other.data(), bytes, ~bytes);
            EXPECT_TRUE(holds(s.data(), bytes, bytes));
        }
    }
}

TEST(slot, refuses_bad_sizes_and_alignments) {
    for (std::uint64_t bytes : {std::uint64_t{0}, wrapped, std::uint64_t{1} << 63, (std::uint64_t{1} << 46) + 1}) {
        EXPECT_EQ(slot::try_make(bytes).error(), errc::size_out_of_range) << bytes;
        EXPECT_EQ(thrown_by([&] { slot s(bytes); }), errc::size_out_of_range) << bytes;
    }
    for (std::uint64_t alignment :
         {std::uint64_t{0}, std::uint64_t{3}, std::uint64_t{48}, std::uint64_t{1} << 31, wrapped}) {
        EXPECT_EQ(slot::try_make(8, alignment).error(), errc::bad_alignment) << alignment;
    }
}

TEST(slot, lies_over_a_caller_s_buffer_and_leaves_it_there) {
    alignas(8) std::byte buffer[40]{};
    {
        slot s{std::span<std::byte>(buffer)};
        EXPECT_EQ(s.data(), buffer);
        EXPECT_EQ(s.size(), 40u);
        EXPECT_EQ(s.check(), errc{});
        s.write(32, std::uint64_t{99});
        EXPECT_EQ(s.try_write(33, std::uint64_t{1}).error(), errc::out_of_bounds);
    }
    std::uint64_t kept;
    std::memcpy(&kept, buffer + 32, 8);
    EXPECT_EQ(kept, 99u);
}

TEST(slot, lies_over_a_part_of_a_buffer) {
    std::byte buffer[40]{};
    slot s(buffer, 8, 16);
    EXPECT_EQ(s.data(), buffer + 8);
    EXPECT_EQ(s.size(), 16u);
    EXPECT_EQ(s.try_read<char>(16).error(), errc::out_of_bounds);
    EXPECT_EQ(slot(buffer, 39, 1).size(), 1u);
    EXPECT_EQ(slot(buffer, 0, 40).size(), 40u);
    EXPECT_EQ(slot::try_over(buffer, 39, 2).error(), errc::out_of_bounds);
    EXPECT_EQ(slot::try_over(buffer, 40, 1).error(), errc::out_of_bounds);
    EXPECT_EQ(slot::try_over(buffer, 41, 1).error(), errc::out_of_bounds);
    EXPECT_EQ(slot::try_over(buffer, 8, wrapped).error(), errc::out_of_bounds);
    EXPECT_EQ(slot::try_over(buffer, wrapped, 8).error(), errc::out_of_bounds);
    EXPECT_EQ(slot::try_over(buffer, 8, 0).error(), errc::size_out_of_range);
    EXPECT_EQ(thrown_by([&] { slot bad(buffer, 8, 33); }), errc::out_of_bounds);
}

TEST(slot, holds_a_value) {
    slot number_slot = slot::holding(42);
    EXPECT_EQ(number_slot.size(), sizeof(int));
    EXPECT_EQ(number_slot.read<int>(0), 42);
    record r{3, 1.5, "name"};
    slot record_slot = slot::holding(r);
    EXPECT_EQ(record_slot.size(), sizeof r);
    EXPECT_EQ(record_slot.span<record>()[0], r);
    struct alignas(256) wide {
        int n;
    };
    slot wide_slot = slot::holding(wide{7});
    EXPECT_EQ(number(wide_slot.data()) % 256, 0u);
    EXPECT_EQ(wide_slot.span<wide>()[0].n, 7);
}

TEST(slot, moves_and_leaves_one_that_refuses) {
    slot a = slot::holding(1.0);
    slot b(std::move(a));
    expect_refused(a, errc::not_initialised);
    EXPECT_EQ(b.read<double>(0), 1.0);
    a = slot::holding(2.0);
    a = std::move(b);
    EXPECT_EQ(a.read<double>(0), 1.0);
    slot& same = a;
    a = std::move(same);
    EXPECT_EQ(a.read<double>(0), 1.0);
}

TEST(slot, becomes_a_fragment) {
    std::byte buffer[16]{};
    fragment over = slot{std::span<std::byte>(buffer)}.into_fragment();
    EXPECT_EQ(over.data(), buffer);
    EXPECT_EQ(over.type(), storage_type::slot);
    EXPECT_EQ(over.check(), errc{});
    EXPECT_EQ(over.release(), errc{});
    expect_empty(over);

    slot s = slot::holding(std::uint64_t{5});
    fragment own = std::move(s).into_fragment();
    expect_refused(s, errc::not_initialised);
    EXPECT_EQ(own.type(), storage_type::slot);
    EXPECT_EQ(own.read<std::uint64_t>(0), 5u);
    std::thread([moved = std::move(own)]() mutable { EXPECT_EQ(moved.release(), errc{}); }).join();
    expect_empty(own);
}

}  // namespace
