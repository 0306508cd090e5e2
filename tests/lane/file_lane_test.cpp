// Lanes in files that are opened again: what they held is there, and what is damaged is refused or stays harmless.
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>

#include "lane/lane_header.hpp"
#include "lanes/highway.hpp"
#include "lanes/lane.hpp"
#include "tests/lane/shared_memory_support.hpp"
#include "tests/storage/storage_support.hpp"

namespace {

using namespace lanes;
using namespace lanes::test;
using detail::lane_header;
using detail::lane_word;

std::string file_bytes(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}
void write_file(const std::filesystem::path& path, std::string_view bytes) {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (!file) std::abort();
}
using open_mode = file_storage::open_mode;
file_storage::options opened(const std::filesystem::path& path) {
    return {.path = path, .mode = open_mode::open, .keep = true};
}
file_storage::options created(const std::filesystem::path& path) {
    return {.path = path, .mode = open_mode::create, .keep = true};
}

// A file with a lane of 1000 bytes, with three fragments in it.
void make_lane_file(const std::filesystem::path& path) {
    file_lane lane(1000, created(path));
    for (std::uint64_t i = 1; i <= 3; ++i) {
        fragment f = lane.allocate(100);
        mark(f, i);
        (void)lane.send(std::move(f));  // it stays there
    }
}

TEST(file_lane, gives_back_what_it_held_when_it_is_opened_again) {
    scratch_directory directory;
    make_lane_file(directory / "lane");
    file_lane lane(1, opened(directory / "lane"));
    EXPECT_EQ(lane.capacity(), 1000u) << "a reopened file keeps its own";
    EXPECT_EQ(lane.type(), storage_type::file);
    EXPECT_EQ(lane.offset(), 336u);
    EXPECT_EQ(lane.live(), 1u);
    fragment contents = lane.contents();
    ASSERT_EQ(contents.size(), 336u);
    EXPECT_EQ(contents.data(), lane.bytes().data());
    for (std::uint64_t i = 1; i <= 3; ++i) EXPECT_TRUE(holds(contents.data() + (i - 1) * 112, 100, i)) << i;
    EXPECT_TRUE(lane.contents().empty()) << "it was taken before";
    fragment more = lane.allocate(100);
    EXPECT_EQ(more.data(), contents.data() + 336) << "the lane goes on where it was";
    EXPECT_EQ(contents.release(), errc{});
    EXPECT_EQ(lane.live(), 1u);
    more.release();
    EXPECT_EQ(lane.offset(), 0u);
}

TEST(file_lane, does_not_reset_while_nobody_has_taken_its_contents) {
    scratch_directory directory;
    make_lane_file(directory / "lane");
    for (int i = 0; i < 3; ++i) {
        file_lane lane(1, opened(directory / "lane"));
        lane.allocate(50).release();
        EXPECT_EQ(lane.live(), 1u);
        EXPECT_EQ(lane.offset(), 336u + 64u * static_cast<unsigned>(i + 1)) << "and so it is found the next time";
    }
    file_lane lane(1, opened(directory / "lane"));
    lane.contents().release();
    EXPECT_EQ(lane.offset(), 0u);
}

TEST(file_lane, that_was_empty_has_no_contents_and_counts_on) {
    scratch_directory directory;
    {
        file_lane lane(1000, created(directory / "lane"));
        for (int i = 0; i < 300; ++i) lane.allocate(100).release();
        EXPECT_EQ(lane.cycle(), 300u);
    }
    file_lane lane(1, opened(directory / "lane"));
    EXPECT_TRUE(lane.contents().empty());
    EXPECT_EQ(lane.cycle(), 300u);
    EXPECT_EQ(lane.live(), 0u);
    EXPECT_TRUE(lane.try_allocate(1000));
}

TEST(file_lane, filled_to_its_end_with_a_last_granule_that_is_none_comes_back_whole) {
    scratch_directory directory;
    {
        file_lane lane(1001, created(directory / "lane"));
        fragment f = lane.allocate(1001);
        mark(f, 5);
        (void)lane.send(std::move(f));
    }
    file_lane lane(1, opened(directory / "lane"));
    fragment contents = lane.contents();
    ASSERT_EQ(contents.size(), 1001u);
    EXPECT_TRUE(is_marked(contents, 5));
    EXPECT_EQ(lane.try_allocate(1, 1).error(), errc::lane_full);
}

TEST(file_lane, opened_after_it_was_closed_is_open) {
    scratch_directory directory;
    {
        file_lane lane(1000, created(directory / "lane"));
        fragment f = lane.allocate(100);
        mark(f, 5);
        (void)lane.send(std::move(f));
        lane.close();
    }
    file_lane lane(1, opened(directory / "lane"));
    EXPECT_FALSE(lane.closed());
    fragment contents = lane.contents();
    EXPECT_EQ(contents.check(), errc{});
    EXPECT_TRUE(holds(contents.data(), 100, 5));
}

TEST(file_lane, reset_by_force_has_no_contents_any_more) {
    scratch_directory directory;
    make_lane_file(directory / "lane");
    file_lane lane(1, opened(directory / "lane"));
    EXPECT_EQ(lane.force_reset(), 1u);
    fragment f = lane.allocate(100);
    EXPECT_TRUE(lane.contents().empty());
    EXPECT_EQ(lane.live(), 1u);
    EXPECT_EQ(f.check(), errc{});
}

TEST(file_lane, has_its_contents_once_for_a_process_and_its_children) {
    scratch_directory directory;
    make_lane_file(directory / "lane");
    file_lane lane(1, opened(directory / "lane"));
    EXPECT_EQ(in_child([&] {
                  CHILD_REQUIRE(lane.live() == 1);
                  CHILD_REQUIRE(lane.contents().empty());
                  return 0;
              }),
              0);
    fragment contents = lane.contents();
    EXPECT_EQ(contents.size(), 336u);
    EXPECT_EQ(lane.live(), 1u);
}

TEST(file_lane, a_killed_process_leaves_what_it_wrote) {
    scratch_directory directory;
    EXPECT_EQ(in_child([&] {
                  file_lane lane(1000, created(directory / "lane"));
                  fragment f = lane.allocate(100);
                  mark(f, 1);
                  raise(SIGKILL);
                  return 0;
              }),
              1000 + SIGKILL);
    file_lane lane(1, opened(directory / "lane"));
    fragment contents = lane.contents();
    ASSERT_EQ(contents.size(), 112u);
    EXPECT_TRUE(holds(contents.data(), 100, 1));
}

errc opening(const std::filesystem::path& path) { return file_lane::try_create(1, opened(path)).error(); }

TEST(file_lane, a_file_that_was_cut_short_is_truncated) {
    scratch_directory directory;
    make_lane_file(directory / "lane");
    std::string whole = file_bytes(directory / "lane");
    ASSERT_EQ(whole.size(), 1128u);
    for (std::size_t size :
         {std::size_t{1}, std::size_t{127}, std::size_t{128}, std::size_t{129}, std::size_t{600}, std::size_t{1127}}) {
        write_file(directory / "cut", whole.substr(0, size));
        EXPECT_EQ(opening(directory / "cut"), errc::storage_truncated) << size;
    }
    write_file(directory / "cut", "");
    EXPECT_EQ(opening(directory / "cut"), errc::storage_truncated);
    write_file(directory / "longer", whole + "and more");
    EXPECT_EQ(opening(directory / "longer"), errc{});
}

TEST(file_lane, anything_else_is_not_a_lane) {
    scratch_directory directory;
    random_source random("garbage");
    for (int i = 0; i < 100; ++i) {
        std::string garbage(129 + random.below(2000), '\0');
        if (i > 0) {
            for (char& c : garbage) c = static_cast<char>(random());
        }
        write_file(directory / "garbage", garbage);
        ASSERT_EQ(opening(directory / "garbage"), errc::not_a_lane);
        ASSERT_EQ(file_bytes(directory / "garbage"), garbage) << "what is refused stays as it was";
    }
}

TEST(file_lane, a_header_that_contradicts_itself_is_corrupt) {
    scratch_directory directory;
    make_lane_file(directory / "lane");
    std::string whole = file_bytes(directory / "lane");
    auto with = [&](auto&& change) {
        std::string bytes = whole;
        change(*reinterpret_cast<lane_header*>(bytes.data()));
        write_file(directory / "damaged", bytes);
        return opening(directory / "damaged");
    };
    EXPECT_EQ(with([](lane_header&) {}), errc{});
    EXPECT_EQ(with([](lane_header& h) { h.magic ^= 1; }), errc::not_a_lane);
    EXPECT_EQ(with([](lane_header& h) { h.header_size = 64; }), errc::not_a_lane);
    EXPECT_EQ(with([](lane_header& h) { h.granule_shift = 5; }), errc::storage_corrupt);
    EXPECT_EQ(with([](lane_header& h) { h.granule_shift = 60; }), errc::storage_corrupt);
    EXPECT_EQ(with([](lane_header& h) { h.capacity = 0; }), errc::storage_corrupt);
    EXPECT_EQ(with([](lane_header& h) { h.capacity = 1001; }), errc::storage_truncated);
    EXPECT_EQ(with([](lane_header& h) { h.capacity = wrapped; }), errc::storage_corrupt);
    EXPECT_EQ(with([](lane_header& h) { h.capacity = 320; }), errc::storage_corrupt) << "less than what is handed out";
    EXPECT_EQ(with([](lane_header& h) { h.state.word = 0; }), errc{});
    EXPECT_EQ(with([](lane_header& h) { h.state.word = lane_word{}.allocated(0).bits; }), errc::storage_corrupt);
    EXPECT_EQ(with([](lane_header& h) { h.state.word = 5; }), errc::storage_corrupt) << "an offset without a fragment";
    EXPECT_EQ(with([](lane_header& h) { h.state.word = lane_word{}.allocated(63).bits; }), errc{});
    EXPECT_EQ(with([](lane_header& h) { h.state.word = lane_word{}.allocated(64).bits; }), errc::storage_corrupt);
    EXPECT_EQ(with([](lane_header& h) { h.state.word = wrapped; }), errc::storage_corrupt);
}

TEST(file_lane, no_flipped_bit_of_the_header_leads_out_of_the_lane) {
    scratch_directory directory;
    random_source random("flips");
    make_lane_file(directory / "lane");
    std::string whole = file_bytes(directory / "lane");
    int accepted = 0, refused = 0;
    for (std::size_t at = 0; at < sizeof(lane_header); ++at) {
        for (unsigned mask : {1u, 16u, 128u}) {  // all of them in memory, below
            std::string bytes = whole;
            bytes[at] = static_cast<char>(static_cast<unsigned char>(bytes[at]) ^ mask);
            write_file(directory / "flipped", bytes);
            auto lane = file_lane::try_create(1, opened(directory / "flipped"));
            if (!lane) {
                ++refused;
                errc e = lane.error();
                ASSERT_TRUE(e == errc::not_a_lane || e == errc::storage_corrupt || e == errc::storage_truncated)
                    << message(e);
                continue;
            }
            ++accepted;
            expect_inside(*lane, {lane->storage()->data(), lane->storage()->size()}, random);
            if (HasFailure()) FAIL() << "byte " << at << " flipped by " << mask;
        }
    }
    EXPECT_GT(accepted, 50);
    EXPECT_GT(refused, 50);
}

TEST(file_lane, is_not_made_of_a_file_that_others_may_open) {
    scratch_directory directory;
    file_storage::options shared{.path = directory / "file", .keep = true, .exclusive = false};
    EXPECT_EQ(file_lane::try_create(4096, shared).error(), errc::bad_option);
    EXPECT_EQ(file_highway::try_create({.lanes = {4096}}, shared).error(), errc::bad_option);
}

}  // namespace
