// Storage that processes share: who may map it, how it is handed over, and that no process can shrink it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstring>
#include <string>
#include <utility>

#include "lanes/storage.hpp"
#include "tests/storage/storage_support.hpp"

namespace {

using namespace lanes;
using lanes::test::in_child;
using lanes::test::open_descriptors;
using promise = memfd_storage::size_promise;

constexpr std::uint64_t bytes = 3 * 4096 + 5;

int memory_file(unsigned flags, std::uint64_t size) {
    int fd = memfd_create("test", flags | MFD_CLOEXEC);
    return fd >= 0 && ftruncate(fd, static_cast<off_t>(size)) == 0 ? fd : -1;
}

TEST(memfd_storage, is_of_the_size_that_was_asked_for_and_new) {
    auto s = memfd_storage::try_create(bytes, {}).value();
    EXPECT_EQ(s.size(), bytes);
    EXPECT_TRUE(s.fresh());
    EXPECT_TRUE(s.sealed());
    struct stat file;
    ASSERT_EQ(fstat(s.descriptor(), &file), 0);
    EXPECT_EQ(file.st_size, static_cast<off_t>(bytes));
}

TEST(memfd_storage, bears_the_name_that_it_was_given) {
    auto s = memfd_storage::try_create(bytes, {.name = "a name"}).value();
    auto link = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(s.descriptor()));
    EXPECT_EQ(link, "/memfd:a name (deleted)");
}

TEST(memfd_storage, refuses_a_name_that_the_system_refuses) {
    std::size_t before = open_descriptors();
    EXPECT_EQ(memfd_storage::try_create(bytes, {.name = std::string(250, 'x')}).error(), errc::bad_option);
    EXPECT_EQ(memfd_storage::try_create(bytes, {.name = std::string("a\0b", 3)}).error(), errc::bad_option);
    EXPECT_EQ(open_descriptors(), before);
}

TEST(memfd_storage, stays_open_across_exec_only_if_asked) {
    auto own = memfd_storage::try_create(bytes, {}).value();
    auto inherited = memfd_storage::try_create(bytes, {.inherit = true}).value();
    EXPECT_EQ(fcntl(own.descriptor(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    EXPECT_EQ(fcntl(inherited.descriptor(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(memfd_storage, cannot_be_shrunk_grown_or_opened_to_that) {
    auto s = memfd_storage::try_create(bytes, {}).value();
    EXPECT_NE(ftruncate(s.descriptor(), 0), 0);
    EXPECT_NE(ftruncate(s.descriptor(), bytes - 1), 0);
    EXPECT_NE(ftruncate(s.descriptor(), bytes + 1), 0);
    EXPECT_NE(fcntl(s.descriptor(), F_ADD_SEALS, F_SEAL_WRITE), 0);
    std::string name = "/proc/self/fd/" + std::to_string(s.descriptor());
    EXPECT_NE(truncate(name.c_str(), 0), 0);
    std::memset(s.data(), 1, bytes);
}

TEST(memfd_storage, is_shared_with_a_forked_child) {
    auto s = memfd_storage::try_create(bytes, {}).value();
    lanes::test::fill(s.data(), bytes, 1);
    EXPECT_EQ(in_child([&] {
                  CHILD_REQUIRE(lanes::test::holds(s.data(), bytes, 1));
                  lanes::test::fill(s.data(), bytes, 2);
                  return 0;
              }),
              0);
    EXPECT_TRUE(lanes::test::holds(s.data(), bytes, 2));
}

bool send_descriptor(int socket, int fd) {
    char byte = 'x';
    iovec text{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
    msghdr message{};
    message.msg_iov = &text;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    return sendmsg(socket, &message, 0) == 1;
}

int receive_descriptor(int socket) {
    char byte;
    iovec text{&byte, 1};
    int fd = -1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
    msghdr message{};
    message.msg_iov = &text;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1) return -1;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (header != nullptr && header->cmsg_type == SCM_RIGHTS) std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return fd;
}

TEST(memfd_storage, is_sent_over_a_socket_and_mapped_by_who_receives_it) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    // The child makes it, so that the parent cannot have it by inheritance.
    EXPECT_EQ(in_child([&] {
                  auto made = memfd_storage::try_create(bytes, {}).value();
                  lanes::test::fill(made.data(), bytes, 1);
                  CHILD_REQUIRE(send_descriptor(ends[0], made.descriptor()));
                  return 0;
              }),
              0);
    int fd = receive_descriptor(ends[1]);
    ASSERT_GE(fd, 0);
    auto s = memfd_storage::try_open(fd).value();
    EXPECT_EQ(s.size(), bytes);
    EXPECT_EQ(s.descriptor(), fd);
    EXPECT_FALSE(s.fresh());
    EXPECT_TRUE(s.sealed());
    EXPECT_TRUE(lanes::test::holds(s.data(), bytes, 1));
    lanes::test::fill(s.data(), bytes, 2);
    EXPECT_EQ(in_child([&] {  // its maker has gone; it has not
                  CHILD_REQUIRE(lanes::test::holds(memfd_storage::try_open(dup(fd)).value().data(), bytes, 2));
                  return 0;
              }),
              0);
    close(ends[0]);
    close(ends[1]);
}

TEST(memfd_storage, seals_what_is_not_sealed_yet) {
    int fd = memory_file(MFD_ALLOW_SEALING, bytes);
    ASSERT_GE(fd, 0);
    auto s = memfd_storage::try_open(fd).value();
    EXPECT_TRUE(s.sealed());
    EXPECT_NE(ftruncate(fd, 0), 0);
    EXPECT_TRUE(lanes::test::is_zero(s.data(), bytes));
}

TEST(memfd_storage, takes_memory_that_could_be_pulled_away_only_from_who_is_trusted) {
    std::size_t before = open_descriptors();
    EXPECT_EQ(memfd_storage::try_open(memory_file(0, bytes)).error(), errc::storage_truncated);
    {
        auto s = memfd_storage::try_open(memory_file(0, bytes), promise::trusted).value();
        EXPECT_FALSE(s.sealed());
        std::memset(s.data(), 1, bytes);
    }
    std::string name = "/lanes-test-" + std::to_string(getpid());
    int fd = shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    ASSERT_GE(fd, 0);
    shm_unlink(name.c_str());
    ASSERT_EQ(ftruncate(fd, bytes), 0);
    EXPECT_EQ(memfd_storage::try_open(dup(fd)).error(), errc::storage_truncated);
    {
        auto s = memfd_storage::try_open(fd, promise::trusted).value();
        EXPECT_FALSE(s.sealed());
        EXPECT_EQ(s.size(), bytes);
        lanes::test::fill(s.data(), bytes, 1);
        auto other = memfd_storage::try_open(dup(s.descriptor()), promise::trusted).value();
        EXPECT_TRUE(lanes::test::holds(other.data(), bytes, 1));
    }
    EXPECT_EQ(open_descriptors(), before);
}

TEST(memfd_storage, takes_the_descriptor_over_also_when_it_cannot_use_it) {
    std::size_t before = open_descriptors();
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    EXPECT_EQ(memfd_storage::try_open(ends[0]).error(), errc::not_a_lane);
    EXPECT_EQ(memfd_storage::try_open(ends[1], promise::trusted).error(), errc::not_a_lane);
    EXPECT_EQ(memfd_storage::try_open(open("/", O_RDONLY)).error(), errc::not_a_lane);
    EXPECT_EQ(memfd_storage::try_open(open("/dev/null", O_RDWR), promise::trusted).error(), errc::not_a_lane);
    EXPECT_EQ(memfd_storage::try_open(memory_file(MFD_ALLOW_SEALING, 0)).error(), errc::storage_truncated);
    EXPECT_EQ(memfd_storage::try_open(memory_file(0, 0), promise::trusted).error(), errc::storage_truncated);
    EXPECT_EQ(open_descriptors(), before);
}

TEST(memfd_storage, refuses_what_is_no_descriptor) {
    EXPECT_EQ(memfd_storage::try_open(-1).error(), errc::not_a_lane);
    EXPECT_EQ(memfd_storage::try_open(1 << 20).error(), errc::not_a_lane);
    EXPECT_EQ(memfd_storage::try_open(-1).system_error(), EBADF);
}

TEST(memfd_storage, refuses_memory_that_it_may_not_write_to) {
    std::size_t before = open_descriptors();
    auto s = memfd_storage::try_create(bytes, {}).value();
    int fd = open(("/proc/self/fd/" + std::to_string(s.descriptor())).c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_GE(fd, 0);
    EXPECT_EQ(memfd_storage::try_open(fd).error(), errc::permission_denied);

    int sealed = memory_file(MFD_ALLOW_SEALING, bytes);
    ASSERT_EQ(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK), 0);
    EXPECT_EQ(memfd_storage::try_open(sealed).error(), errc::permission_denied);
    EXPECT_EQ(open_descriptors(), before + 1);
}

TEST(memfd_storage, is_made_by_kernels_that_know_of_no_executable_bit) {
    EXPECT_EQ(
        in_child([] {
            CHILD_REQUIRE(lanes::test::refuse(SYS_memfd_create, EINVAL, 1, 8 /* MFD_NOEXEC_SEAL, since Linux 6.3 */));
            auto s = memfd_storage::try_create(bytes, {}).value();
            CHILD_REQUIRE(ftruncate(s.descriptor(), 0) != 0);
            return 0;
        }),
        0);
}

TEST(memfd_storage, says_what_the_system_refused) {
    EXPECT_EQ(in_child([] {
                  CHILD_REQUIRE(lanes::test::refuse(SYS_memfd_create, EMFILE));
                  auto none = memfd_storage::try_create(bytes, {});
                  CHILD_REQUIRE(none.error() == errc::system_failure && none.system_error() == EMFILE);
                  return 0;
              }),
              0);
    EXPECT_EQ(in_child([] {
                  std::size_t before = open_descriptors();
                  CHILD_REQUIRE(lanes::test::refuse(SYS_ftruncate, ENOSPC));
                  CHILD_REQUIRE(memfd_storage::try_create(bytes, {}).error() == errc::out_of_memory);
                  CHILD_REQUIRE(open_descriptors() == before);
                  return 0;
              }),
              0);
}

}  // namespace
