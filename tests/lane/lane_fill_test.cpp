// Filling the lane that threads share from streams and descriptors: how much, where to, and what fails.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ios>
#include <sstream>
#include <stdexcept>
#include <streambuf>
#include <string>
#include <thread>

#include "lanes/lane.hpp"
#include "tests/lane/lane_support.hpp"

namespace {

using namespace lanes;
using namespace lanes::test;

TEST(lane, fills_its_first_bytes_from_a_stream) {
    heap_lane lane(64);
    fragment f = lane.allocate(64);
    std::memset(f.data(), 'z', 64);
    std::istringstream stream("0123456789");
    EXPECT_EQ(lane.fill_from(stream, 4), 4u);
    EXPECT_EQ(std::memcmp(f.data(), "0123zzzz", 8), 0);
    EXPECT_EQ(lane.fill_from(stream, 0), 0u);
    EXPECT_EQ(lane.fill_from(stream, 6), 6u) << "the stream goes on where it was";
    EXPECT_EQ(std::memcmp(f.data(), "456789zz", 8), 0);
    std::istringstream whole(std::string(100, 'w'));
    EXPECT_EQ(lane.fill_from(whole), 64u);
    EXPECT_EQ(std::memcmp(f.data(), std::string(64, 'w').data(), 64), 0);
}

TEST(lane, says_when_a_stream_was_too_short_and_keeps_what_it_had) {
    heap_lane lane(64);
    std::memset(lane.bytes().data(), 'z', 64);
    for (bool throws : {false, true}) {
        std::istringstream stream("abcdef");
        if (throws) stream.exceptions(std::ios::failbit | std::ios::badbit | std::ios::eofbit);
        EXPECT_EQ(lane.try_fill_from(stream, 10).error(), errc::end_of_stream);
        EXPECT_EQ(std::memcmp(lane.bytes().data(), "abcdefzz", 8), 0);
        EXPECT_EQ(lane.try_fill_from(stream, 1).error(), errc::end_of_stream) << "it is over";
    }
    std::istringstream stream("abc");
    EXPECT_EQ(thrown_by([&] { lane.fill_from(stream); }), errc::end_of_stream);
}

// Fails after some bytes, with an exception.
class broken_buffer : public std::streambuf {
  protected:
    std::streamsize xsgetn(char* to, std::streamsize) override {
        *to = 'b';
        throw std::runtime_error("the disk is on fire");
    }
    int_type underflow() override { throw std::runtime_error("the disk is on fire"); }
};

TEST(lane, says_when_a_stream_failed_whether_it_throws_or_not) {
    heap_lane lane(64);
    for (bool throws : {false, true}) {
        broken_buffer buffer;
        std::istream stream(&buffer);
        if (throws) stream.exceptions(std::ios::badbit);
        EXPECT_EQ(lane.try_fill_from(stream, 10).error(), errc::system_failure);
        EXPECT_TRUE(stream.bad());
        EXPECT_EQ(lane.try_fill_from(stream, 10).error(), errc::system_failure) << "it stays so";
    }
    EXPECT_EQ(lane.live(), 0u);
}

TEST(lane, fills_from_a_descriptor_in_pieces) {
    heap_lane lane(100000);
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    std::string data(100000, '\0');
    fill(data.data(), data.size(), 11);
    std::thread writer([&] {
        for (std::size_t done = 0; done < data.size();) {
            ssize_t n = write(ends[1], data.data() + done, std::min<std::size_t>(777, data.size() - done));
            if (n <= 0) break;
            done += static_cast<std::size_t>(n);
        }
        ::close(ends[1]);
    });
    EXPECT_EQ(lane.fill_from(ends[0], 50000), 50000u);
    EXPECT_EQ(std::memcmp(lane.bytes().data(), data.data(), 50000), 0);
    EXPECT_EQ(lane.try_fill_from(ends[0], 50001).error(), errc::end_of_stream);
    EXPECT_EQ(std::memcmp(lane.bytes().data(), data.data() + 50000, 50000), 0) << "what it had is there";
    EXPECT_EQ(lane.try_fill_from(ends[0], 0).value(), 0u);
    writer.join();
    ::close(ends[0]);
}

TEST(lane, says_what_the_system_said_of_a_descriptor) {
    heap_lane lane(64);
    result<std::uint64_t> r = lane.try_fill_from(-1, 8);
    EXPECT_EQ(r.error(), errc::system_failure);
    EXPECT_EQ(r.system_error(), EBADF);
    int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ASSERT_GE(directory, 0);
    EXPECT_EQ(lane.try_fill_from(directory).system_error(), EISDIR);
    ::close(directory);
}

TEST(lane, does_not_fill_more_than_it_has) {
    heap_lane lane(64);
    std::istringstream stream(std::string(200, 'x'));
    EXPECT_EQ(lane.try_fill_from(stream, 65).error(), errc::size_out_of_range);
    EXPECT_EQ(lane.try_fill_from(-1, 65).error(), errc::size_out_of_range);
    EXPECT_EQ(lane.try_fill_from(stream, wrapped - 1).error(), errc::size_out_of_range);
    EXPECT_EQ(stream.tellg(), 0);
}

TEST(lane, a_fill_hands_out_nothing) {
    heap_lane lane(64);
    lane.close();  // which does not prevent filling
    std::istringstream stream(std::string(64, 'x'));
    EXPECT_EQ(lane.fill_from(stream), 64u);
    EXPECT_EQ(lane.live(), 0u);
    EXPECT_EQ(lane.offset(), 0u);
    EXPECT_EQ(lane.cycle(), 0u);
}

// A stream whose source looks at the lane, and disposes of it.
class disposing_buffer : public std::streambuf {
  public:
    explicit disposing_buffer(counted_lane& lane) : lane_(lane) {}
    std::uint64_t live_seen = 99;

  protected:
    std::streamsize xsgetn(char* to, std::streamsize n) override {
        live_seen = lane_.live();
        lane_.dispose();
        std::memset(to, 'd', static_cast<std::size_t>(n));
        return n;
    }

  private:
    counted_lane& lane_;
};

TEST(lane, disposed_in_the_middle_of_a_fill_stays_until_its_end) {
    counted_lane lane(4096);
    disposing_buffer buffer(lane);
    std::istream stream(&buffer);
    EXPECT_EQ(lane.fill_from(stream), 4096u);
    EXPECT_EQ(buffer.live_seen, 0u) << "a fill is no fragment";
    EXPECT_EQ(counted_storage::alive(), 0);
}

}  // namespace
