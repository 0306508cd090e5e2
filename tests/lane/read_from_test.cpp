// Sources that are read to their end: streams and descriptors into streams and fragments, and how that fails.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <streambuf>
#include <string>

#include "lanes/stream.hpp"
#include "tests/lane/stream_support.hpp"
#include "tests/storage/storage_support.hpp"

namespace {

using namespace lanes;
using namespace lanes::test;

TEST(read_from, an_istream_takes_all_of_it_and_no_tile_too_many) {
    for (std::size_t bytes :
         {std::size_t{0}, std::size_t{1}, tile - 1, tile, tile + 1, 10 * tile, std::size_t{100000}}) {
        heap_highway highway;
        highway_buf buf(highway, tile);
        std::string text = text_of(bytes, 1);
        std::istringstream from(text);
        EXPECT_EQ(read_from(from, buf), bytes);
        EXPECT_EQ(contents(buf), text);
        EXPECT_TRUE(from.eof());
        EXPECT_EQ(highway.total_live(), (bytes + tile - 1) / tile);
        EXPECT_EQ(buf.write_position(), bytes);
        EXPECT_EQ(read_from(from, buf), 0u) << "it stays at its end";
    }
}

TEST(read_from, a_source_goes_behind_what_is_there) {
    heap_highway highway;
    highway_buf buf(highway, tile);
    buf.write(as_bytes(std::string("head ")));
    buf.pubseekpos(0, std::ios::out);
    std::istringstream from("  body of text");
    EXPECT_EQ(read_from(from, buf, 6), 6u);
    EXPECT_EQ(contents(buf), "head   body");
    EXPECT_EQ(buf.write_position(), 11u);
    EXPECT_EQ(read_from(from, buf), 8u);
    EXPECT_EQ(contents(buf), "head   body of text");
    EXPECT_EQ(read_from(from, buf, 0), 0u);
}

TEST(read_from, exactly_fills_a_highway_that_has_no_more_room) {
    heap_highway highway({.lanes = {1024}, .max_lanes = 1});
    highway_buf buf(highway, 256);
    std::string text = text_of(1024, 1);
    std::istringstream from(text);
    EXPECT_EQ(read_from(from, buf), 1024u);
    EXPECT_EQ(contents(buf), text);
    std::istringstream more(text + "x");
    buf.clear();
    EXPECT_EQ(try_read_from(more, buf).error(), errc::max_lanes_reached);
    EXPECT_EQ(contents(buf), text) << "what came is there";
    EXPECT_EQ(more.get(), 'x') << "and what did not fit is still in the source";
    EXPECT_THROW(
        {
            std::istringstream again(text);
            read_from(again, buf);
        },
        lanes::error);
}

// Gives 100 characters and then throws.
class broken_source : public std::streambuf {
    int_type underflow() override {
        if (given_) throw std::runtime_error("broken");
        given_ = true;
        setg(text_, text_, text_ + 100);
        return text_[0];
    }
    char text_[100] = {'a'};
    bool given_ = false;
};

TEST(read_from, a_source_that_fails_says_system_failure) {
    heap_highway highway;
    highway_buf buf(highway, 30);
    fragment f = highway.allocate(200);
    std::ifstream nowhere("/does/not/exist");
    EXPECT_EQ(try_read_from(nowhere, buf).error(), errc::system_failure);
    EXPECT_EQ(try_read_from(nowhere, f).error(), errc::system_failure);
    std::istream none(nullptr);
    EXPECT_EQ(try_read_from(none, buf).error(), errc::system_failure);
    EXPECT_EQ(buf.length(), 0u);
    for (std::ios::iostate thrown : {std::ios::goodbit, std::ios::badbit | std::ios::failbit | std::ios::eofbit}) {
        broken_source source;
        std::istream from(&source);
        from.exceptions(thrown);
        EXPECT_EQ(try_read_from(from, buf).error(), errc::system_failure);
        std::istringstream ends("text");
        ends.exceptions(thrown);
        EXPECT_EQ(read_from(ends, f), 4u) << "an end is no failure, also for a stream that throws then";
    }
    auto closed = try_read_from(-1, buf);
    EXPECT_EQ(closed.error(), errc::system_failure);
    EXPECT_EQ(closed.system_error(), EBADF);
    EXPECT_EQ(try_read_from(-1, f).system_error(), EBADF);
    EXPECT_THROW(read_from(-1, buf), lanes::error);
}

TEST(read_from, a_descriptor_reads_to_its_end) {
    lanes::test::scratch_directory directory;
    std::string text = text_of(100000, 1);
    std::ofstream(directory / "file", std::ios::binary) << text;
    heap_highway highway;
    highway_buf buf(highway, 1000);
    int file = open((directory / "file").c_str(), O_RDONLY | O_CLOEXEC);
    EXPECT_EQ(read_from(file, buf, 1500), 1500u);
    EXPECT_EQ(read_from(file, buf), 98500u);
    EXPECT_EQ(contents(buf), text);
    EXPECT_EQ(buf.tiles(), 100u) << "the tile that found the end went back";
    EXPECT_EQ(read_from(file, buf), 0u);
    EXPECT_EQ(buf.tiles(), 100u);
    close(file);
}

TEST(read_from, a_descriptor_that_has_nothing_yet_keeps_what_came) {
    heap_highway highway;
    highway_buf buf(highway, tile);
    descriptor_pair link(descriptor_pair::socket);
    fcntl(link.out_of(), F_SETFL, O_NONBLOCK);
    ASSERT_EQ(write(link.into(), "hello", 5), 5);
    auto got = try_read_from(link.out_of(), buf);
    EXPECT_EQ(got.error(), errc::system_failure);
    EXPECT_EQ(got.system_error(), EAGAIN);
    EXPECT_EQ(contents(buf), "hello");
    ASSERT_EQ(write(link.into(), " again", 6), 6);
    link.close_in();
    EXPECT_EQ(read_from(link.out_of(), buf), 6u);
    EXPECT_EQ(contents(buf), "hello again");
}

TEST(read_from, a_fragment_is_filled_as_far_as_it_or_the_source_goes) {
    heap_lane lane(4096);
    fragment f = lane.allocate(100);
    std::string text = text_of(150, 1);
    std::istringstream from(text);
    EXPECT_EQ(read_from(from, f, 30), 70u);
    EXPECT_EQ(std::memcmp(f.data() + 30, text.data(), 70), 0);
    EXPECT_EQ(read_from(from, f), 80u);
    EXPECT_EQ(std::memcmp(f.data(), text.data() + 70, 80), 0);
    EXPECT_EQ(try_read_from(from, f, 101).error(), errc::out_of_bounds);
    EXPECT_EQ(read_from(from, f, 100), 0u);

    descriptor_pair link(descriptor_pair::pipe);
    ASSERT_EQ(write(link.into(), text.data(), 150), 150);
    EXPECT_EQ(read_from(link.out_of(), f), 100u);
    link.close_in();
    EXPECT_EQ(read_from(link.out_of(), f, 20), 50u);
    EXPECT_EQ(try_read_from(link.out_of(), f, 101).error(), errc::out_of_bounds);
    lane.close();
    EXPECT_EQ(try_read_from(from, f).error(), errc::lane_closed);
    EXPECT_THROW(read_from(link.out_of(), f), lanes::error);
}

}  // namespace
