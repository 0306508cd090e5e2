// Highways as streams: what is written is read over tiles of every storage, where they end, and how they go bad.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <initializer_list>
#include <iomanip>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "lanes/stream.hpp"
#include "tests/lane/stream_support.hpp"
#include "tests/storage/storage_support.hpp"

namespace {

using namespace lanes;
using namespace lanes::test;
using namespace std::chrono_literals;

TEST(highway_stream, refuses_options_that_make_no_sense) {
    heap_highway highway;
    auto refusal = [&](std::uint64_t bytes, const tile_options& options = {}) {
        errc said = highway_stream::try_make(highway, bytes, options).error();
        EXPECT_EQ(highway_buf::try_make(highway, bytes, options).error(), said);
        EXPECT_THROW(highway_stream(highway, bytes, options), lanes::error);
        return said;
    };
    EXPECT_EQ(refusal(0), errc::size_out_of_range);
    EXPECT_EQ(refusal(static_cast<std::uint64_t>(-1)), errc::size_out_of_range);
    EXPECT_EQ(refusal(tile, {.largest_tile = tile - 1}), errc::bad_option);
    EXPECT_EQ(refusal(tile, {.largest_tile = highway_limits::max_lane_capacity + 1}), errc::bad_option);
    EXPECT_EQ(refusal(tile, {.alignment = 24}), errc::bad_alignment);
    EXPECT_EQ(refusal(tile, {.alignment = 2 * max_alignment}), errc::bad_alignment);
    EXPECT_TRUE(highway_stream::try_make(highway, tile, {.largest_tile = tile}));
}

TEST(highway_stream, grows_tile_by_tile_and_gives_back_its_own_fragments_only) {
    heap_highway highway;
    fragment other = highway.allocate(10);
    {
        highway_stream stream(highway, tile), beside(highway, tile);
        EXPECT_EQ(highway.total_live(), 1u) << "nothing is allocated before it is needed";
        beside << 'x';
        std::string text = text_of(10 * tile + 1, 1);
        stream << text;
        EXPECT_EQ(stream.buffer().tiles(), 11u);
        EXPECT_EQ(stream.buffer().room(), tile - 1);
        EXPECT_EQ(highway.total_live(), 13u);
        EXPECT_EQ(read_all(stream), text);
        stream.buffer().clear();
        EXPECT_EQ(highway.total_live(), 2u);
        EXPECT_EQ(beside.get(), 'x');
    }
    EXPECT_EQ(highway.total_live(), 1u);
    EXPECT_EQ(other.check(), errc{});
}

// A stream over a highway of each kind, for what all of them must do.
template <class F>
void over_each_kind(F&& f) {
    lanes::test::scratch_directory directory;
    heap_highway heap({.lanes = {4096, 4096}, .default_lane_capacity = 4096});
    mapping_highway mapping({.lanes = {4096, 4096}, .default_lane_capacity = 4096});
    file_highway file({.lanes = {4096, 4096}, .default_lane_capacity = 4096}, {.path = directory / "lane"});
    memfd_highway memfd({.lanes = {4096, 4096}, .default_lane_capacity = 4096});
    passthrough_highway slots;
    for (highway* each : std::initializer_list<highway*>{&heap, &mapping, &file, &memfd, &slots}) {
        SCOPED_TRACE(name_of(each->type()));
        f(*each);
        EXPECT_EQ(each->total_live(), 0u);
    }
}

TEST(highway_stream, runs_over_every_kind_of_storage) {
    over_each_kind([](highway& each) {
        highway_stream stream(each, 1000);
        std::string text = text_of(50000, 5);
        stream << text << ' ' << -17 << ' ' << std::setprecision(17) << 0.1;
        std::string back(text.size(), '\0');
        int number = 0;
        double tenth = 0;
        EXPECT_TRUE(stream.read(back.data(), 50000) >> number >> tenth);
        EXPECT_EQ(back, text);
        EXPECT_EQ(number, -17);
        EXPECT_EQ(tenth, 0.1);
    });
}

TEST(highway_stream, is_overwritten_in_the_middle_across_tiles) {
    heap_highway highway;
    highway_stream stream(highway, tile);
    std::string text = text_of(5 * tile, 1), patch = text_of(2 * tile + 20, 2);
    stream << text;
    for (std::size_t at : {std::size_t{0}, std::size_t{50}, tile, 3 * tile - 20}) {
        stream.seekp(static_cast<std::streamoff>(at));
        stream << patch;
        text.replace(at, patch.size(), patch);
        EXPECT_EQ(contents(stream.buffer()), text);
    }
    stream.seekp(-10, std::ios::end);
    stream << patch;
    text.replace(text.size() - 10, 10, patch);
    EXPECT_EQ(contents(stream.buffer()), text);
    EXPECT_EQ(stream.buffer().length(), text.size());
}

TEST(highway_stream, seeks_anywhere_within_its_length) {
    heap_highway highway;
    highway_stream stream(highway, tile);
    std::string text = text_of(7 * tile + 13, 1);
    stream << text;
    random_source random("seeks");
    for (int i = 0; i < 1000; ++i) {
        std::size_t at = random.below(text.size());
        stream.seekg(static_cast<std::streamoff>(at));
        ASSERT_EQ(stream.get(), static_cast<unsigned char>(text[at]));
        ASSERT_EQ(stream.tellg(), static_cast<std::streamoff>(at + 1));
    }
    EXPECT_TRUE(stream.seekg(0, std::ios::end));
    EXPECT_FALSE(stream.seekg(1, std::ios::end)) << "not into the room behind the end";
    stream.clear();
    EXPECT_EQ(stream.tellg(), static_cast<std::streamoff>(text.size()));
    EXPECT_EQ(stream.rdbuf()->in_avail(), 0);
    stream.seekg(2 * tile);
    stream.unget();
    EXPECT_EQ(stream.get(), static_cast<unsigned char>(text[2 * tile - 1]))
        << "a character is put back over the border";
}

TEST(highway_stream, truncated_is_shorter_and_gives_back_tiles_without_contents) {
    heap_highway highway;
    highway_stream stream(highway, tile);
    std::string text = text_of(4 * tile, 1);
    stream << text;
    stream.seekg(3 * tile + 5);
    highway_buf& buf = stream.buffer();
    EXPECT_EQ(buf.try_truncate(4 * tile + 1).error(), errc::out_of_bounds);
    EXPECT_THROW(buf.truncate(4 * tile + 1), lanes::error);
    buf.truncate(4 * tile);
    EXPECT_EQ(buf.tiles(), 4u);
    buf.truncate(2 * tile + 1);
    EXPECT_EQ(buf.tiles(), 3u);
    EXPECT_EQ(buf.read_position(), 2 * tile + 1);
    EXPECT_EQ(buf.write_position(), 2 * tile + 1);
    EXPECT_EQ(stream.get(), std::char_traits<char>::eof());
    stream.clear();
    stream << "new";
    EXPECT_EQ(contents(buf), text.substr(0, 2 * tile + 1) + "new");
    buf.truncate(2 * tile);
    EXPECT_EQ(buf.tiles(), 2u);
    buf.truncate(0);
    EXPECT_EQ(buf.tiles(), 0u);
    EXPECT_EQ(highway.total_live(), 0u);
    EXPECT_TRUE(stream << "again");
    EXPECT_EQ(read_all(stream), "again");
}

TEST(highway_stream, at_the_highway_s_limit_is_bad_and_keeps_what_was_written) {
    heap_highway highway({.lanes = {1024}, .default_lane_capacity = 1024, .max_bytes = 2048});
    fragment taken = highway.allocate(512);
    highway_stream stream(highway, 128);
    std::string text = text_of(4000, 1);
    stream << text;
    EXPECT_TRUE(stream.bad());
    EXPECT_EQ(stream.last_error(), errc::max_bytes_reached);
    EXPECT_EQ(stream.buffer().length(), 1536u);
    EXPECT_EQ(stream.tellp(), -1);
    stream.clear();
    EXPECT_EQ(stream.tellp(), 1536);
    EXPECT_EQ(read_all(stream), text.substr(0, 1536));
    stream.clear();
    EXPECT_FALSE(stream.put('x')) << "still no room";
    EXPECT_EQ(stream.buffer().try_write(as_bytes(text)).error(), errc::max_bytes_reached);
    // A failure is not for ever.
    stream.buffer().truncate(1000);
    stream.clear();
    stream.buffer().clear_error();
    EXPECT_TRUE(stream << "there is room again");
    EXPECT_EQ(stream.last_error(), errc{});
    EXPECT_EQ(contents(stream.buffer()), text.substr(0, 1000) + "there is room again");
}

TEST(highway_stream, at_the_limit_of_lanes_says_so) {
    heap_highway highway({.lanes = {1024}, .max_lanes = 1});
    highway_stream stream(highway, 512);
    stream << std::string(1025, 'x');
    EXPECT_TRUE(stream.bad());
    EXPECT_EQ(stream.last_error(), errc::max_lanes_reached);
    EXPECT_EQ(stream.buffer().length(), 1024u);
}

TEST(highway_stream, is_bad_when_others_keep_the_highway_from_growing) {
    std::atomic<bool> growing = false, written = false;
    heap_highway highway({.lanes = {256},
                          .next_capacity = [&](std::size_t) -> std::uint64_t {
                              growing = true;
                              while (!written) std::this_thread::sleep_for(1ms);
                              return 4096;
                          },
                          .new_lane_timeout = 20ms});
    highway_stream stream(highway, 256);
    stream << std::string(256, 'a');
    std::thread other([&] { highway.allocate(256); });
    while (!growing) std::this_thread::sleep_for(1ms);
    stream << 'b';
    EXPECT_TRUE(stream.bad());
    EXPECT_EQ(stream.last_error(), errc::growth_timeout);
    EXPECT_EQ(contents(stream.buffer()), std::string(256, 'a'));
    written = true;
    other.join();
    stream.clear();
    EXPECT_TRUE(stream << 'b');
}

TEST(highway_stream, may_wait_for_room_if_asked) {
    heap_highway highway({.lanes = {256}, .max_lanes = 1});
    std::optional<fragment> in_the_way = highway.allocate(256);
    highway_stream stream(highway, 256, {.how = {.wait = 10s}});
    std::thread other([&] {
        std::this_thread::sleep_for(20ms);
        in_the_way.reset();
    });
    EXPECT_TRUE(stream << "it was given back");
    other.join();
}

TEST(highway_stream, over_a_highway_that_ended_is_bad) {
    heap_highway highway;
    highway_stream stream(highway, tile);
    stream << std::string(tile, 'x');
    highway.dispose();
    EXPECT_EQ(stream.get(), std::char_traits<char>::eof());
    EXPECT_TRUE(stream.bad());
    EXPECT_EQ(stream.last_error(), errc::lane_disposed);
    stream.clear();
    EXPECT_FALSE(stream << "more");
    EXPECT_EQ(stream.last_error(), errc::highway_disposed);

    lanes::highway none;
    highway_stream over_none(none, tile);
    EXPECT_FALSE(over_none << "x");
    EXPECT_EQ(over_none.last_error(), errc::not_initialised);
}

TEST(highway_stream, with_a_stale_tile_is_bad_there_and_good_once_it_is_cleared) {
    heap_highway highway({.lanes = {2 * tile, 2 * tile}, .max_lanes = 2});
    highway_stream stream(highway, tile);
    std::string text = text_of(4 * tile, 1);
    stream << text;
    // Two tiles lie in each lane; those of the second two are lost.
    lane_ref lost = highway[0].bytes().data() == stream.buffer().iovecs()[0].iov_base ? highway[1] : highway[0];
    lost.force_reset();
    std::string back(4 * tile, '\0');
    EXPECT_TRUE(stream.read(back.data(), tile + 1)) << "the others are good";
    EXPECT_FALSE(stream.read(back.data(), 4 * tile));
    EXPECT_TRUE(stream.bad());
    EXPECT_EQ(stream.last_error(), errc::wrong_cycle);
    EXPECT_EQ(stream.buffer().read_position(), tile + 1) << "a failed read moves nothing";
    EXPECT_EQ(stream.buffer().try_iovecs().error(), errc::wrong_cycle);
    EXPECT_TRUE(stream.buffer().try_iovecs(0, 2 * tile));
    stream.clear();
    stream.seekp(2 * tile);
    EXPECT_FALSE(stream << "x");
    EXPECT_EQ(stream.last_error(), errc::wrong_cycle);
    stream.clear();
    stream.buffer().clear();
    EXPECT_TRUE(stream << text);
    EXPECT_EQ(read_all(stream), text);
}

TEST(highway_stream, takes_one_larger_tile_for_a_large_write_if_allowed) {
    heap_highway highway;
    highway_stream stream(highway, 1000, {.largest_tile = 8500});
    std::string text = text_of(1500, 1);
    stream << text;
    EXPECT_EQ(stream.buffer().tiles(), 1u);
    EXPECT_EQ(stream.buffer().room(), 500u) << "whole tiles";
    std::string more = text_of(500 + 8500 + 300, 2);
    stream << more;
    EXPECT_EQ(stream.buffer().tiles(), 3u);
    EXPECT_EQ(stream.buffer().room(), 700u);
    EXPECT_EQ(read_all(stream), text + more);
}

TEST(highway_stream, takes_ordinary_tiles_when_no_larger_one_is_to_be_had) {
    heap_highway highway({.lanes = {1024, 1024}, .max_lanes = 2});
    highway_stream stream(highway, 512, {.largest_tile = 1 << 20});
    std::string text = text_of(2048, 1);
    EXPECT_TRUE(stream << text);
    EXPECT_EQ(stream.buffer().tiles(), 3u) << "two halves of one lane, and all of the other";
    EXPECT_EQ(read_all(stream), text);
}

TEST(highway_stream, aligns_its_tiles_as_asked) {
    heap_highway highway;
    highway_buf buf(highway, 5000, {.alignment = 4096});
    buf.prepare(20000);
    for (const iovec& piece : buf.prepare(20000)) EXPECT_EQ(lanes::test::number(piece.iov_base) % 4096, 0u);
}

TEST(highway_stream, that_was_moved_goes_on_and_leaves_an_empty_one) {
    heap_highway highway;
    highway_stream first(highway, tile);
    std::string text = text_of(3 * tile, 1);
    first << text;
    first.seekg(5);
    highway_stream second(std::move(first));
    EXPECT_TRUE(second << "more");
    EXPECT_EQ(read_all(second), text.substr(5) + "more");
    EXPECT_EQ(first.buffer().length(), 0u);
    first.clear();
    EXPECT_TRUE(first << "new");
    EXPECT_EQ(read_all(first), "new");
    highway_stream from_buffer(highway_buf(highway, tile));
    EXPECT_TRUE(from_buffer << "x");
}

TEST(highway_stream, works_with_iterators_lines_and_manipulators) {
    heap_highway highway;
    highway_stream stream(highway, 7);
    for (int i = 0; i < 100; ++i) stream << "line " << std::setw(4) << std::setfill('0') << i << '\n';
    std::string line;
    int lines = 0;
    while (std::getline(stream, line)) {
        EXPECT_EQ(line, "line " + std::string(lines < 10 ? "000" : "00") + std::to_string(lines));
        ++lines;
    }
    EXPECT_EQ(lines, 100);
    stream.clear();
    stream.seekg(0);
    EXPECT_EQ(std::count(std::istreambuf_iterator<char>(stream), {}, '\n'), 100);
    std::ostringstream copy;
    stream.clear();
    stream.seekg(0);
    copy << stream.rdbuf();
    EXPECT_EQ(copy.str(), contents(stream.buffer()));
}

// An object graph is serialised into a highway and read back.
struct person {
    std::string name;
    std::int64_t born;
    std::vector<person*> friends;
};

void serialise(const std::vector<std::unique_ptr<person>>& people, std::ostream& to) {
    std::map<const person*, std::uint32_t> numbers;
    for (const auto& p : people) numbers.emplace(p.get(), static_cast<std::uint32_t>(numbers.size()));
    auto put = [&](auto value) { to.write(reinterpret_cast<const char*>(&value), sizeof value); };
    put(people.size());
    for (const auto& p : people) {
        put(p->name.size());
        to << p->name;
        put(p->born);
        put(p->friends.size());
        for (const person* f : p->friends) put(numbers.at(f));
    }
}

std::vector<std::unique_ptr<person>> deserialise(std::istream& from) {
    auto get = [&]<class T>(T value) {
        from.read(reinterpret_cast<char*>(&value), sizeof value);
        return value;
    };
    std::vector<std::unique_ptr<person>> people(get(std::size_t{}));
    for (auto& p : people) p = std::make_unique<person>();
    for (auto& p : people) {
        p->name.resize(get(std::size_t{}));
        from.read(p->name.data(), static_cast<std::streamsize>(p->name.size()));
        p->born = get(std::int64_t{});
        p->friends.resize(get(std::size_t{}));
        for (person*& f : p->friends) f = people.at(get(std::uint32_t{})).get();
    }
    return people;
}

TEST(highway_stream, carries_an_object_graph_over_every_kind_of_storage) {
    random_source random("graph");
    std::vector<std::unique_ptr<person>> people;
    for (std::size_t i = 0; i < 300; ++i) {
        people.push_back(std::make_unique<person>());
        *people.back() = {text_of(random.size(200), i), static_cast<std::int64_t>(random()), {}};
    }
    for (auto& p : people) {
        for (std::uint64_t n = random.below(8); n > 0; --n) p->friends.push_back(people[random.below(300)].get());
    }
    over_each_kind([&](highway& each) {
        highway_stream stream(each, 100);
        serialise(people, stream);
        ASSERT_TRUE(stream);
        auto copies = deserialise(stream);
        ASSERT_TRUE(stream);
        ASSERT_EQ(copies.size(), people.size());
        std::map<const person*, const person*> copy_of;
        for (std::size_t i = 0; i < people.size(); ++i) copy_of.emplace(people[i].get(), copies[i].get());
        for (std::size_t i = 0; i < people.size(); ++i) {
            ASSERT_EQ(copies[i]->name, people[i]->name);
            ASSERT_EQ(copies[i]->born, people[i]->born);
            ASSERT_EQ(copies[i]->friends.size(), people[i]->friends.size());
            for (std::size_t f = 0; f < people[i]->friends.size(); ++f) {
                ASSERT_EQ(copies[i]->friends[f], copy_of.at(people[i]->friends[f]));
            }
        }
    });
}

TEST(highway_stream, does_what_a_stringstream_does) {
    random_source random("stringstream model");
    for (int round = 0; round < 40; ++round) {
        heap_highway highway({.lanes = {1 << 16}});
        highway_stream stream(highway, 1 + random.size(300), {});
        std::stringstream model;
        for (int i = 0; i < 300; ++i) {
            std::uint64_t seed = random();
            ASSERT_EQ(step(stream, seed, false), step(model, seed, false)) << "step " << i << ", seed " << seed;
        }
        ASSERT_EQ(contents(stream.buffer()), model.str());
    }
}

TEST(highway_stream, many_threads_have_streams_of_their_own_over_one_highway) {
    heap_highway highway({.lanes = {1 << 14, 1 << 14}, .default_lane_capacity = 1 << 14});
    std::vector<std::thread> threads;
    std::atomic<int> wrong = 0;
    for (std::uint64_t t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (std::uint64_t i = 0; i < 60; ++i) {
                highway_stream stream(highway, 200);
                std::string text = text_of(3000, 100 * t + i);
                stream << text << i;
                std::string back(text.size(), '\0');
                std::uint64_t number = ~i;
                stream.read(back.data(), 3000) >> number;
                if (back != text || number != i) ++wrong;
            }
        });
    }
    for (std::thread& t : threads) t.join();
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(highway.total_live(), 0u);
}

}  // namespace
