// The bytes of streams on their way in and out: iovecs, prepared room, consuming, taking, and transfers over sockets.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "lanes/stream.hpp"
#include "tests/lane/stream_support.hpp"

namespace {

using namespace lanes;
using namespace lanes::test;

std::size_t bytes_in(std::span<const iovec> pieces) { return joined(pieces).size(); }

// Copies text into the room, as readv would.
void receive(std::span<iovec> room, const std::string& text) {
    std::size_t done = 0;
    for (const iovec& piece : room) {
        std::size_t n = std::min(piece.iov_len, text.size() - done);
        if (n != 0) std::memcpy(piece.iov_base, text.data() + done, n);
        done += n;
    }
    ASSERT_EQ(done, text.size());
}

// Sends all of it however little the descriptor takes at once. Gives the number of calls.
std::size_t send_all(int to, std::span<iovec> left) {
    std::size_t calls = 0;
    while (!left.empty()) {
        ssize_t n = writev(to, left.data(), static_cast<int>(std::min<std::size_t>(left.size(), IOV_MAX)));
        if (n < 0 && errno == EAGAIN) {
            pollfd wait{to, POLLOUT, 0};
            poll(&wait, 1, 1000);
            continue;
        }
        if (n < 0) return 0;
        ++calls;
        left = advance_iovecs(left, static_cast<std::uint64_t>(n));
    }
    return calls;
}

TEST(iovecs, of_a_stream_are_its_bytes_in_order) {
    heap_highway highway;
    highway_buf buf(highway, tile);
    EXPECT_TRUE(buf.iovecs().empty());
    std::string text = text_of(5 * tile + 7, 1);
    buf.write(as_bytes(text));
    EXPECT_EQ(to_iovecs(buf).size(), 6u);
    EXPECT_EQ(joined(*try_to_iovecs(buf)), text);
    random_source random("ranges");
    for (int i = 0; i < 300; ++i) {
        std::uint64_t from = random.below(text.size() + 1), bytes = random.below(text.size() - from + 1);
        ASSERT_EQ(joined(buf.iovecs(from, bytes)), text.substr(from, bytes));
        ASSERT_EQ(joined(buf.iovecs(from)), text.substr(from));
    }
}

TEST(iovecs, past_the_end_are_refused) {
    heap_highway highway;
    highway_buf buf(highway, tile);
    buf.write(as_bytes(text_of(100, 1)));
    EXPECT_TRUE(buf.iovecs(100).empty());
    EXPECT_EQ(buf.try_iovecs(101).error(), errc::out_of_bounds);
    EXPECT_EQ(buf.try_iovecs(50, 51).error(), errc::out_of_bounds);
    EXPECT_EQ(buf.try_iovecs(1, to_the_end - 1).error(), errc::out_of_bounds);
    EXPECT_THROW(buf.iovecs(101), lanes::error);
    std::array<iovec, 4> few;
    EXPECT_EQ(buf.try_fill_iovecs(few, 101).error(), errc::out_of_bounds);
    EXPECT_THROW(buf.fill_iovecs(few, 50, 51), lanes::error);
}

TEST(iovecs, fill_what_there_is_room_for) {
    heap_highway highway;
    highway_buf buf(highway, tile);
    std::string text = text_of(5 * tile, 1);
    buf.write(as_bytes(text));
    std::array<iovec, 3> few;
    std::string all;
    for (std::uint64_t at = 10; at < text.size();) {
        auto [count, bytes] = buf.fill_iovecs(few, at);
        ASSERT_LE(count, 3u);
        ASSERT_EQ(bytes_in(std::span(few).first(count)), bytes);
        all += joined(std::span(few).first(count));
        at += bytes;
    }
    EXPECT_EQ(all, text.substr(10));
    EXPECT_EQ(buf.fill_iovecs(few, 3, 2).bytes, 2u);
    EXPECT_EQ(buf.fill_iovecs({}).iovecs, 0u);
}

TEST(copy_out, copies_across_tiles_and_moves_no_position) {
    heap_highway highway;
    highway_buf buf(highway, tile);
    std::string text = text_of(5 * tile + 7, 1);
    buf.write(as_bytes(text));
    buf.consume(tile / 2);  // offsets count from what is left
    text.erase(0, tile / 2);
    std::uint64_t read = buf.read_position(), written = buf.write_position();
    for (std::uint64_t offset = 0; offset <= text.size(); offset += 13) {
        for (std::uint64_t bytes : {std::uint64_t{0}, std::uint64_t{1}, tile, 3 * tile}) {
            std::string got(bytes, '?');
            std::span<std::byte> to = std::as_writable_bytes(std::span(got));
            if (bytes > text.size() - offset) {
                EXPECT_EQ(buf.try_copy_out(offset, to).error(), errc::out_of_bounds);
                continue;
            }
            buf.copy_out(offset, to);
            EXPECT_EQ(got, text.substr(offset, bytes));
        }
    }
    EXPECT_EQ(buf.try_copy_out(text.size() + 1, {}).error(), errc::out_of_bounds);
    EXPECT_EQ(buf.read_position(), read);
    EXPECT_EQ(buf.write_position(), written);
    for (lane_ref lane : highway.lanes()) lane.close();
    std::array<std::byte, 1> one;
    EXPECT_EQ(buf.try_copy_out(0, one).error(), errc::lane_closed);
}

TEST(iovecs, let_bytes_be_changed_in_place) {
    heap_highway highway;
    highway_buf buf(highway, tile);
    buf.write(as_bytes(std::string(2 * tile, 'a')));
    for (const iovec& piece : buf.iovecs(tile - 1, 2)) std::memset(piece.iov_base, 'b', piece.iov_len);
    EXPECT_EQ(contents(buf), std::string(tile - 1, 'a') + "bb" + std::string(tile - 1, 'a'));
}

TEST(iovecs, of_fragments_are_theirs) {
    heap_lane lane(4096);
    std::vector<fragment> fragments;
    for (std::size_t i = 0; i < 5; ++i) {
        fragments.push_back(lane.allocate(10 + i));
        fragments.back().write_bytes(0, as_bytes(std::string(10 + i, static_cast<char>('a' + i))));
    }
    iovec one = to_iovec(fragments[2]);
    EXPECT_EQ(one.iov_base, fragments[2].data());
    EXPECT_EQ(one.iov_len, 12u);
    std::string text = joined(to_iovecs(fragments));
    EXPECT_EQ(text.size(), 60u);
    EXPECT_EQ(text.substr(0, 12), "aaaaaaaaaabb");
    std::array<iovec, 2> few;
    EXPECT_EQ(fill_iovecs(few, fragments).iovecs, 2u);
    EXPECT_EQ(fill_iovecs(few, fragments).bytes, 21u);

    fragments[3].release();
    EXPECT_EQ(try_to_iovec(fragments[3]).error(), errc::not_initialised);
    EXPECT_EQ(try_to_iovecs(fragments).error(), errc::not_initialised);
    EXPECT_THROW(to_iovec(fragments[3]), lanes::error);
    EXPECT_TRUE(try_fill_iovecs(few, fragments)) << "it is not among the first two";
    lane.close();
    EXPECT_EQ(try_to_iovec(fragments[0]).error(), errc::lane_closed);
    EXPECT_EQ(try_fill_iovecs(few, fragments).error(), errc::lane_closed);
    EXPECT_THROW(to_iovecs(fragments), lanes::error);
}

TEST(iovecs, advance_by_what_was_transferred) {
    std::string text = "0123456789";
    auto pieces = [&] { return std::vector<iovec>{{&text[0], 3}, {&text[3], 0}, {&text[3], 4}, {&text[7], 3}}; };
    for (std::uint64_t n = 0; n <= 10; ++n) {
        std::vector<iovec> all = pieces();
        std::span<iovec> left = advance_iovecs(all, n);
        EXPECT_EQ(joined(left), text.substr(n));
        EXPECT_TRUE(left.empty() || left.front().iov_len != 0);
        EXPECT_EQ(left.empty(), n == 10);
    }
    std::vector<iovec> all = pieces();
    EXPECT_TRUE(advance_iovecs(all, 11).empty());
    EXPECT_TRUE(advance_iovecs({}, 1).empty());
    std::vector<iovec> empty(3);
    EXPECT_TRUE(advance_iovecs(empty, 0).empty());
}

TEST(prepared_room, is_as_long_as_asked_and_becomes_contents_when_committed) {
    heap_highway highway;
    highway_buf buf(highway, tile);
    buf.write(as_bytes(std::string("head")));
    std::span<iovec> room = buf.prepare(3 * tile);
    EXPECT_EQ(room.size(), 4u);
    EXPECT_EQ(bytes_in(room), 3 * tile);
    EXPECT_EQ(buf.length(), 4u);
    std::string text = text_of(100, 1);
    receive(room, text);
    EXPECT_EQ(buf.try_commit(3 * tile + 1).error(), errc::out_of_bounds);
    EXPECT_EQ(buf.last_error(), errc::out_of_bounds);
    EXPECT_THROW(buf.commit(static_cast<std::uint64_t>(-1)), lanes::error) << "what readv said of an error";
    buf.commit(100);
    EXPECT_EQ(contents(buf), "head" + text);
    EXPECT_EQ(buf.write_position(), 104u);
    EXPECT_EQ(buf.try_commit(1).error(), errc::out_of_bounds) << "what is left is no longer prepared";
    EXPECT_EQ(buf.room(), 4 * tile - 104);
    EXPECT_TRUE(buf.prepare(0).empty());
    buf.commit(0);
    EXPECT_EQ(buf.length(), 104u);
}

TEST(prepared_room, is_found_again_and_not_allocated_twice) {
    heap_highway highway;
    highway_buf buf(highway, tile);
    void* first = buf.prepare(10 * tile).front().iov_base;
    EXPECT_EQ(highway.total_live(), 10u);
    EXPECT_EQ(buf.prepare(5).front().iov_base, first);
    EXPECT_EQ(buf.prepare(10 * tile).size(), 10u);
    EXPECT_EQ(highway.total_live(), 10u);
    buf.prepare(5);
    EXPECT_EQ(buf.try_commit(6).error(), errc::out_of_bounds) << "preparing again forgets";
    buf.truncate(0);
    EXPECT_EQ(highway.total_live(), 0u);
    EXPECT_EQ(buf.try_commit(1).error(), errc::out_of_bounds);
}

TEST(prepared_room, that_was_written_to_cannot_be_committed) {
    heap_highway highway;
    highway_buf buf(highway, tile);
    buf.write(as_bytes(std::string(10, 'a')));
    buf.prepare(20);
    buf.pubseekpos(0, std::ios::out);
    buf.write(as_bytes(std::string(10, 'b')));
    EXPECT_TRUE(buf.try_commit(1)) << "writing before the end leaves it alone";
    buf.prepare(20);
    buf.write(as_bytes(std::string("c")));
    EXPECT_EQ(buf.try_commit(1).error(), errc::out_of_bounds);
}

TEST(prepared_room, that_is_not_to_be_had_leaves_the_contents_and_what_could_be_had) {
    heap_highway highway({.lanes = {1024}, .max_lanes = 1});
    highway_buf buf(highway, 128);
    std::string text = text_of(200, 1);
    buf.write(as_bytes(text));
    EXPECT_EQ(buf.try_prepare(2000).error(), errc::max_lanes_reached);
    EXPECT_EQ(buf.last_error(), errc::max_lanes_reached);
    EXPECT_EQ(buf.room(), 1024u - 200u);
    EXPECT_THROW(buf.prepare(2000), lanes::error);
    EXPECT_EQ(buf.try_prepare(to_the_end).error(), errc::size_out_of_range);
    EXPECT_EQ(buf.try_commit(1).error(), errc::out_of_bounds);
    EXPECT_EQ(contents(buf), text);
    EXPECT_TRUE(buf.try_prepare(824)) << "all that there is";
    highway[0].close();
    EXPECT_EQ(buf.try_prepare(1).error(), errc::lane_closed);
}

TEST(consuming, gives_whole_tiles_back_and_counts_from_the_rest) {
    heap_highway highway;
    highway_buf buf(highway, tile);
    std::string text = text_of(5 * tile, 1);
    buf.write(as_bytes(text));
    buf.pubseekpos(2 * tile, std::ios::in);
    buf.consume(tile - 1);
    EXPECT_EQ(highway.total_live(), 5u);
    buf.consume(1);
    EXPECT_EQ(highway.total_live(), 4u);
    EXPECT_EQ(buf.read_position(), tile);
    EXPECT_EQ(buf.write_position(), 4 * tile);
    buf.consume(2 * tile + 3);
    EXPECT_EQ(highway.total_live(), 2u);
    EXPECT_EQ(buf.read_position(), 0u);
    EXPECT_EQ(contents(buf), text.substr(3 * tile + 3));
    EXPECT_EQ(buf.sgetc(), static_cast<unsigned char>(text[3 * tile + 3]));
    EXPECT_EQ(buf.try_consume(2 * tile).error(), errc::out_of_bounds);
    EXPECT_THROW(buf.consume(2 * tile), lanes::error);
    EXPECT_EQ(buf.length(), 2 * tile - 3);
    buf.consume(buf.length());
    EXPECT_EQ(highway.total_live(), 0u);
    EXPECT_EQ(buf.sgetc(), std::char_traits<char>::eof());
}

TEST(consuming, all_of_a_partly_filled_tile_lets_it_begin_anew) {
    heap_highway highway;
    highway_buf buf(highway, tile);
    std::uint64_t used = highway.total_free_space();
    for (int i = 0; i < 1000; ++i) {
        std::string message = text_of(50, static_cast<std::uint64_t>(i));
        std::span<iovec> room = buf.prepare(tile);
        ASSERT_EQ(room.size(), 1u) << "a message always finds the whole tile";
        receive(room, message);
        buf.commit(50);
        ASSERT_EQ(contents(buf), message);
        buf.consume(50);
    }
    EXPECT_EQ(buf.tiles(), 1u);
    EXPECT_EQ(used - highway.total_free_space(), tile);
}

TEST(consuming, leaves_prepared_room_where_it_is) {
    heap_highway highway;
    highway_buf buf(highway, tile);
    buf.write(as_bytes(text_of(tile + 10, 1)));
    std::span<iovec> room = buf.prepare(2 * tile);
    buf.consume(tile + 10);
    std::string text = text_of(2 * tile, 2);
    receive(room, text);
    buf.commit(2 * tile);
    EXPECT_EQ(contents(buf), text);
}

TEST(consuming, for_ever_keeps_few_tiles) {
    heap_highway highway({.lanes = {1 << 14, 1 << 14}, .max_lanes = 2});
    highway_buf buf(highway, 100);
    std::string text = text_of(1000, 1);
    for (int i = 0; i < 3000; ++i) {
        ASSERT_TRUE(buf.try_write(as_bytes(text)));
        if (i == 0) continue;
        ASSERT_EQ(joined(buf.iovecs(0, 1000)), text);
        buf.consume(1000);
        ASSERT_LE(buf.tiles(), 20u);
    }
}

TEST(taken_fragments, are_the_contents_and_the_caller_s) {
    heap_highway highway;
    std::vector<fragment> taken;
    std::string text = text_of(5 * tile + 10, 1);
    {
        highway_buf buf(highway, tile);
        EXPECT_TRUE(buf.take_fragments().empty());
        buf.write(as_bytes(text));
        buf.consume(tile + 3);
        buf.prepare(10 * tile);
        taken = buf.take_fragments();
        EXPECT_EQ(buf.length(), 0u);
        EXPECT_EQ(buf.tiles(), 0u);
        EXPECT_EQ(buf.read_position(), 0u);
        buf.write(as_bytes(std::string("new")));
        EXPECT_EQ(contents(buf), "new");
    }
    EXPECT_EQ(joined(to_iovecs(taken)), text.substr(tile + 3));
    EXPECT_EQ(taken.size(), 5u);
    EXPECT_EQ(highway.total_live(), 5u);
    taken.clear();
    EXPECT_EQ(highway.total_live(), 0u);
}

// Writes, reads, seeks, prepares, commits, consumes and truncates at random; the model is a string and two numbers.
TEST(highway_buf, does_what_a_string_does) {
    random_source random("string model");
    for (int round = 0; round < 60; ++round) {
        heap_highway highway({.lanes = {1 << 17}});
        std::uint64_t bytes = 1 + random.size(200);
        highway_buf buf(highway, bytes, {.largest_tile = random.percent(50) ? 0 : 8 * bytes});
        std::string model;
        std::size_t get = 0, put = 0, prepared = 0;
        for (int i = 0; i < 400; ++i) {
            std::string text = text_of(random.size(400), random());
            switch (random.below(8)) {
                case 0:
                    buf.write(as_bytes(text));
                    if (put + text.size() > model.size()) {
                        model.resize(put + text.size());
                        prepared = 0;
                    }
                    model.replace(put, text.size(), text);
                    put += text.size();
                    break;
                case 1: {
                    std::string got(text.size(), '\0');
                    got.resize(buf.read(std::as_writable_bytes(std::span(got))));
                    ASSERT_EQ(got, model.substr(get, text.size()));
                    get += got.size();
                    break;
                }
                case 2:
                    get = random.below(model.size() + 1);
                    ASSERT_EQ(buf.pubseekpos(static_cast<std::streamoff>(get), std::ios::in),
                              static_cast<std::streamoff>(get));
                    break;
                case 3:
                    put = random.below(model.size() + 1);
                    ASSERT_EQ(buf.pubseekpos(static_cast<std::streamoff>(put), std::ios::out),
                              static_cast<std::streamoff>(put));
                    break;
                case 4: {
                    std::span<iovec> room = buf.prepare(text.size() + random.below(50));
                    receive(room, text);
                    prepared = bytes_in(room);
                    if (random.percent(20)) break;
                    text.resize(random.below(text.size() + 1));
                    buf.commit(text.size());
                    model += text;
                    prepared = 0;
                    put = model.size();
                    break;
                }
                case 5: {
                    std::size_t n = random.percent(10) ? model.size() : random.below(model.size() / 2 + 1);
                    buf.consume(n);
                    model.erase(0, n);
                    get -= std::min(get, n);
                    put -= std::min(put, n);
                    break;
                }
                case 6:
                    if (!random.percent(20)) break;
                    model.resize(random.below(model.size() + 1));
                    buf.truncate(model.size());
                    prepared = 0;
                    get = std::min(get, model.size());
                    put = std::min(put, model.size());
                    break;
                default:
                    if (!random.percent(5)) break;
                    ASSERT_EQ(joined(to_iovecs(buf.take_fragments())), model);
                    model.clear();
                    get = put = prepared = 0;
            }
            if (prepared == 0) {
                ASSERT_FALSE(buf.try_commit(1));
            }
            ASSERT_EQ(buf.length(), model.size());
            ASSERT_EQ(buf.read_position(), get);
            ASSERT_EQ(buf.write_position(), put);
            ASSERT_EQ(buf.tiles(), highway.total_live());
            if (i % 16 == 0) {
                ASSERT_EQ(contents(buf), model);
            }
        }
        ASSERT_EQ(contents(buf), model);
    }
}

// A server that assembles messages: each is its length in four bytes, and then so many bytes.
TEST(socket, messages_are_assembled_from_partial_transfers) {
    random_source random("messages");
    descriptor_pair link(descriptor_pair::socket, 4096);
    fcntl(link.into(), F_SETFL, O_NONBLOCK);
    std::vector<std::string> messages;
    for (std::uint64_t i = 0; i < 400; ++i) messages.push_back(text_of(random.size(30000), i));

    mapping_highway highway;
    std::size_t calls = 0;
    std::thread client([&] {
        highway_stream out(highway, 500);
        for (const std::string& message : messages) {
            auto length = static_cast<std::uint32_t>(message.size());
            out.write(reinterpret_cast<const char*>(&length), sizeof length) << message;
            std::vector<iovec> parts = to_iovecs(out.buffer());
            calls += send_all(link.into(), parts);
            out.buffer().clear();
        }
        link.close_in();
    });

    highway_buf in(highway, 700);
    std::size_t received = 0;
    while (true) {
        std::span<iovec> room = in.prepare(1 + random.size(3000));
        ssize_t n = readv(link.out_of(), room.data(), static_cast<int>(room.size()));
        ASSERT_GE(n, 0);
        if (n == 0) break;
        in.commit(static_cast<std::uint64_t>(n));
        while (in.length() >= 4) {
            std::uint32_t length;
            in.pubseekpos(0, std::ios::in);
            in.read(std::as_writable_bytes(std::span(&length, 1)));
            if (in.length() - 4 < length) break;
            ASSERT_LT(received, messages.size());
            ASSERT_EQ(joined(in.iovecs(4, length)), messages[received]);
            ++received;
            in.consume(4 + length);
        }
    }
    client.join();
    EXPECT_EQ(received, messages.size());
    EXPECT_GT(calls, messages.size()) << "no transfer was partial";
    EXPECT_EQ(in.length(), 0u);
    in.clear();
    EXPECT_EQ(highway.total_live(), 0u);
}

TEST(socket, more_iovecs_than_the_system_takes_at_once_go_through_a_pipe) {
    heap_highway highway;
    highway_buf out(highway, 16), in(highway, 4096);
    std::string text = text_of(3 * IOV_MAX * 16, 1);
    out.write(as_bytes(text));
    descriptor_pair link(descriptor_pair::pipe);
    std::thread sender([&] {
        std::vector<iovec> parts = to_iovecs(out);
        EXPECT_GE(send_all(link.into(), parts), 3u);
        link.close_in();
    });
    EXPECT_EQ(read_from(link.out_of(), in), text.size());
    sender.join();
    EXPECT_EQ(contents(in), text);
}

TEST(socket, fragments_and_taken_tiles_are_sent_as_they_are) {
    heap_highway highway;
    highway_buf out(highway, tile);
    std::string text = text_of(1000, 1);
    out.write(as_bytes(text));
    std::vector<fragment> taken = out.take_fragments();
    descriptor_pair link(descriptor_pair::socket);
    std::vector<iovec> parts = to_iovecs(taken);
    send_all(link.into(), parts);
    link.close_in();
    fragment whole = highway.allocate(2000);
    EXPECT_EQ(read_from(link.out_of(), whole, 500), text.size());
    EXPECT_EQ(std::memcmp(whole.data() + 500, text.data(), text.size()), 0);
}

}  // namespace
