// Streams over fragments: what is written is read, where they end, and how they go bad.
#include "lanes/stream.hpp"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <iomanip>
#include <limits>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/lane/stream_support.hpp"

namespace {

using namespace lanes;
using namespace lanes::test;

TEST(fragment_stream, reads_what_was_written) {
    heap_lane lane(4096);
    fragment_stream stream(lane.allocate(100));
    stream << "seven " << 7 << ' ' << 2.5 << '\n' << std::hex << 255 << std::endl;
    EXPECT_TRUE(stream.good());
    std::string word;
    int seven = 0, hex = 0;
    double number = 0;
    stream >> word >> seven >> number >> std::hex >> hex;
    EXPECT_EQ(word, "seven");
    EXPECT_EQ(seven, 7);
    EXPECT_EQ(number, 2.5);
    EXPECT_EQ(hex, 255);
    EXPECT_EQ(stream.last_error(), errc{});
}

TEST(fragment_stream, is_as_long_as_the_fragment_and_ends_with_it) {
    heap_lane lane(4096);
    fragment f = lane.allocate(10);
    f.write_bytes(0, as_bytes(std::string("0123456789")));
    fragment_stream stream(f);
    EXPECT_EQ(stream.buffer().length(), 10u);
    EXPECT_EQ(read_all(stream), "0123456789");
    EXPECT_EQ(stream.get(), std::char_traits<char>::eof());
    EXPECT_TRUE(stream.eof());
    EXPECT_FALSE(stream.bad());
    EXPECT_EQ(stream.last_error(), errc{}) << "an end is no failure";
}

TEST(fragment_stream, writing_past_the_end_writes_what_fits_and_no_more) {
    heap_lane lane(4096);
    fragment f = lane.allocate(16), behind = lane.allocate(16);
    behind.write_bytes(0, as_bytes(std::string(16, 'b')));
    fragment_stream stream(f);
    stream.write("0123456789abcdefXYZ", 19);
    EXPECT_TRUE(stream.bad());
    EXPECT_EQ(stream.last_error(), errc::out_of_bounds);
    EXPECT_EQ(contents(f), "0123456789abcdef");
    EXPECT_EQ(stream.buffer().write_position(), 16u);
    stream.clear();
    stream.put('Z');
    EXPECT_TRUE(stream.bad());
    EXPECT_EQ(contents(behind), std::string(16, 'b'));
}

TEST(fragment_stream, seeks_its_two_positions_apart_and_nowhere_outside) {
    heap_lane lane(4096);
    fragment f = lane.allocate(10);
    fragment_buf buf(f);
    auto both = std::ios::in | std::ios::out;
    EXPECT_EQ(buf.sputn("0123456789", 10), 10);
    EXPECT_EQ(buf.pubseekoff(3, std::ios::beg, std::ios::in), 3);
    EXPECT_EQ(buf.sgetc(), '3');
    EXPECT_EQ(buf.write_position(), 10u);
    EXPECT_EQ(buf.pubseekoff(-2, std::ios::end, std::ios::out), 8);
    EXPECT_EQ(buf.sputc('x'), 'x');
    EXPECT_EQ(buf.pubseekoff(2, std::ios::cur, std::ios::in), 5);
    EXPECT_EQ(buf.pubseekoff(-4, std::ios::cur, std::ios::out), 5);
    EXPECT_EQ(buf.pubseekoff(0, std::ios::end), 10);
    EXPECT_EQ(buf.pubseekpos(4, both), 4);
    EXPECT_EQ(contents(f), "01234567x9");
    std::streamoff most = std::numeric_limits<std::streamoff>::max(),
                   least = std::numeric_limits<std::streamoff>::min();
    for (std::streamoff outside : {std::streamoff{-5}, std::streamoff{7}, most, least}) {
        EXPECT_EQ(buf.pubseekoff(outside, std::ios::cur, std::ios::in), -1) << outside;
        EXPECT_EQ(buf.pubseekoff(outside, std::ios::cur, std::ios::out), -1) << outside;
    }
    EXPECT_EQ(buf.pubseekoff(1, std::ios::end), -1);
    EXPECT_EQ(buf.pubseekoff(-1, std::ios::beg), -1);
    EXPECT_EQ(buf.pubseekoff(0, std::ios::cur, both), -1);
    EXPECT_EQ(buf.pubseekoff(0, std::ios::beg, std::ios::openmode{}), -1);
    EXPECT_EQ(buf.read_position(), 4u);
    EXPECT_EQ(buf.write_position(), 4u);
}

TEST(fragment_stream, says_how_much_is_left) {
    heap_lane lane(4096);
    fragment_stream stream(lane.allocate(10));
    EXPECT_EQ(stream.rdbuf()->in_avail(), 10);
    stream.ignore(9);
    EXPECT_EQ(stream.rdbuf()->in_avail(), 1);
    stream.ignore(1);
    EXPECT_EQ(stream.rdbuf()->in_avail(), -1);
}

TEST(fragment_stream, takes_characters_back_as_far_as_the_beginning) {
    heap_lane lane(4096);
    fragment f = lane.allocate(3);
    f.write_bytes(0, as_bytes(std::string("abc")));
    fragment_buf buf(f);
    EXPECT_EQ(buf.sungetc(), std::char_traits<char>::eof());
    EXPECT_EQ(buf.sbumpc(), 'a');
    EXPECT_EQ(buf.sbumpc(), 'b');
    EXPECT_EQ(buf.sputbackc('b'), 'b');
    EXPECT_EQ(buf.sputbackc('x'), 'x');
    EXPECT_EQ(buf.sputbackc('y'), std::char_traits<char>::eof());
    EXPECT_EQ(contents(f), "xbc");
    EXPECT_EQ(buf.sgetc(), 'x');
}

TEST(fragment_stream, no_character_is_taken_for_the_end) {
    heap_lane lane(4096);
    fragment_stream stream(lane.allocate(256));
    for (int c = 0; c < 256; ++c) ASSERT_TRUE(stream.put(static_cast<char>(c)));
    for (int c = 0; c < 256; ++c) ASSERT_EQ(stream.get(), c);
    for (int c = 255; c >= 0; --c) {
        ASSERT_TRUE(stream.putback(static_cast<char>(c)));
        ASSERT_EQ(stream.peek(), c);
    }
}

// How a fragment can become one that may not be used, and what it is then.
struct spoiling {
    const char* name;
    std::function<void(heap_lane&, fragment&)> spoil;
    errc expected;
};

const std::vector<spoiling>& spoilings() {
    static const std::vector<spoiling> all{
        {"released", [](heap_lane&, fragment& f) { f.release(); }, errc::not_initialised},
        {"lane closed", [](heap_lane& lane, fragment&) { lane.close(); }, errc::lane_closed},
        {"lane disposed", [](heap_lane& lane, fragment&) { lane.dispose(); }, errc::lane_disposed},
        {"lane reset by force", [](heap_lane& lane, fragment&) { lane.force_reset(); }, errc::wrong_cycle},
    };
    return all;
}

TEST(fragment_stream, over_a_fragment_that_may_not_be_used_is_bad_and_leaves_the_bytes_alone) {
    for (const auto& [name, spoil, expected] : spoilings()) {
        SCOPED_TRACE(name);
        heap_lane lane(4096);
        fragment f = lane.allocate(16);
        std::byte* at = f.data();
        f.write_bytes(0, as_bytes(std::string(16, 'a')));
        auto keeps_the_bytes_mapped = lane.allocate(16);
        fragment_stream stream(f);
        stream << "hello";
        EXPECT_EQ(stream.get(), 'h');
        spoil(lane, f);

        EXPECT_EQ(stream.get(), std::char_traits<char>::eof());
        EXPECT_TRUE(stream.bad());
        EXPECT_EQ(stream.last_error(), expected);
        for (auto write : std::vector<std::function<void()>>{[&] { stream.put('x'); }, [&] { stream << 123; },
                                                             [&] { stream.write("xyz", 3); }, [&] { stream.flush(); },
                                                             [&] { stream.unget(); }, [&] { stream.peek(); },
                                                             [&] {
                                                                 char c[2];
                                                                 stream.read(c, 2);
                                                             }}) {
            stream.clear();
            stream.buffer().clear_error();
            write();
            EXPECT_TRUE(stream.bad());
            EXPECT_EQ(stream.last_error(), expected);
        }
        EXPECT_EQ(stream.buffer().read_position(), 1u);
        EXPECT_EQ(stream.buffer().write_position(), 5u);
        EXPECT_EQ(std::string(reinterpret_cast<char*>(at), 16), "helloaaaaaaaaaaa");
        std::array<std::byte, 4> four{};
        EXPECT_EQ(stream.buffer().try_read(four).error(), expected);
        EXPECT_EQ(stream.buffer().try_write(four).error(), expected);
    }
}

TEST(fragment_stream, that_may_throw_throws_the_error_itself_when_reading) {
    heap_lane lane(4096);
    fragment_stream stream(lane.allocate(16));
    lane.close();
    stream.exceptions(std::ios::badbit);
    try {
        stream.get();
        FAIL() << "no exception";
    } catch (const lanes::error& e) {
        EXPECT_EQ(e.which(), errc::lane_closed);
    }
    EXPECT_THROW(stream.buffer().sgetc(), lanes::error);
    std::array<std::byte, 4> four{};
    EXPECT_THROW(stream.buffer().read(four), lanes::error);
    EXPECT_THROW(stream.buffer().write(four), lanes::error);
}

TEST(fragment_stream, goes_on_when_its_lane_is_reopened) {
    heap_lane lane(4096);
    fragment_stream stream(lane.allocate(16));
    stream << "ab";
    lane.close();
    EXPECT_FALSE(stream << "c");
    lane.reopen();
    stream.clear();
    EXPECT_TRUE(stream << "c");
    EXPECT_EQ(stream.get(), 'a');
}

TEST(fragment_stream, over_nothing_is_bad_but_no_crash) {
    fragment_stream stream{fragment()};
    EXPECT_EQ(stream.buffer().length(), 0u);
    EXPECT_FALSE(stream << 'x');
    EXPECT_EQ(stream.last_error(), errc::not_initialised);
    stream.clear();
    EXPECT_EQ(stream.get(), std::char_traits<char>::eof());
    EXPECT_TRUE(stream.bad());
}

TEST(fragment_stream, releases_the_fragment_it_owns_and_no_other) {
    heap_lane lane(4096);
    fragment f = lane.allocate(16);
    {
        fragment_stream owning(lane.allocate(16)), over(f);
        EXPECT_EQ(lane.live(), 2u);
    }
    EXPECT_EQ(lane.live(), 1u);
    EXPECT_EQ(f.check(), errc{});
    fragment_buf buf(std::move(f));
    fragment back = buf.take_fragment();
    EXPECT_EQ(back.size(), 16u);
    EXPECT_EQ(buf.sputc('x'), std::char_traits<char>::eof());
    EXPECT_EQ(buf.last_error(), errc::not_initialised);
    EXPECT_TRUE(buf.take_fragment().empty());
}

TEST(fragment_stream, that_was_moved_goes_on_where_it_was) {
    heap_lane lane(4096);
    fragment f = lane.allocate(16);
    fragment_stream first(lane.allocate(16)), first_over(f);
    first << "abcdef";
    first_over << "uvw";
    EXPECT_EQ(first.get(), 'a');
    fragment_stream second(std::move(first)), second_over(std::move(first_over));
    EXPECT_EQ(second.get(), 'b');
    EXPECT_TRUE(second << 'g');
    second.seekg(6);
    EXPECT_EQ(second.get(), 'g');
    EXPECT_TRUE(second_over << 'x');
    EXPECT_EQ(contents(f).substr(0, 4), "uvwx");
    EXPECT_FALSE(first << 'x') << "it owns nothing any more";
}

TEST(fragment_stream, runs_over_slots_and_buffers_of_the_caller) {
    slot block(16);
    std::array<std::byte, 16> mine{};
    fragment own = std::move(block).into_fragment(), callers = slot(std::span(mine)).into_fragment();
    for (fragment* f : {&own, &callers}) {
        fragment_stream stream(*f);
        stream << "text";
        EXPECT_EQ(contents(*f).substr(0, 4), "text");
    }
    EXPECT_EQ(mine[3], std::byte{'t'});
}

TEST(fragment_stream, of_more_than_two_gib_counts_with_64_bits) {
    constexpr std::uint64_t size = (std::uint64_t{5} << 30) + 7;
    auto lane = mapping_lane::try_create(size);
    if (!lane) GTEST_SKIP() << "no address space: " << message(lane.error());
    fragment_stream stream(lane->allocate(size));
    EXPECT_EQ(stream.rdbuf()->in_avail(), static_cast<std::streamsize>(size));
    std::string piece = text_of(5000, 3);
    for (std::uint64_t at : {(std::uint64_t{1} << 31) - 2500, (std::uint64_t{1} << 32) - 2500, size - piece.size()}) {
        auto offset = static_cast<std::streamoff>(at);
        stream.seekp(offset);
        stream << piece;
        EXPECT_EQ(stream.tellp(), offset + 5000);
        stream.seekg(offset - static_cast<std::streamoff>(size), std::ios::end);
        EXPECT_EQ(stream.tellg(), offset);
        std::string back(piece.size(), '\0');
        EXPECT_TRUE(stream.read(back.data(), 5000));
        EXPECT_EQ(back, piece);
        stream.seekg(-5000, std::ios::cur);
        EXPECT_EQ(stream.get(), static_cast<unsigned char>(piece[0]));
    }
    EXPECT_FALSE(stream << 'x');
    EXPECT_EQ(stream.last_error(), errc::out_of_bounds);
}

TEST(fragment_stream, does_what_a_stringstream_of_its_length_does) {
    random_source random("stringstream model of fixed length");
    for (int round = 0; round < 40; ++round) {
        heap_lane lane(1 << 16);
        std::string start = text_of(1 + random.below(2000), 1);
        fragment f = lane.allocate(start.size());
        f.write_bytes(0, as_bytes(start));
        fragment_stream stream(f);
        std::stringstream model(start);
        for (int i = 0; i < 300; ++i) {
            std::uint64_t seed = random();
            // Numbers and characters grow a stringstream at its end, so there they are left out.
            if (random_source(seed).below(14) >= 11 && start.size() - stream.buffer().write_position() < 24) {
                stream.seekp(0);
                model.seekp(0);
                if (start.size() < 24) continue;
            }
            ASSERT_EQ(step(stream, seed, true), step(model, seed, true)) << "step " << i << ", seed " << seed;
        }
        ASSERT_EQ(contents(f), model.str());
    }
}

}  // namespace
