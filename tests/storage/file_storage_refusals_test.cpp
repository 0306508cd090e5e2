// Storage in a file: what is refused, by us or by the system, and what is left then.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <cstring>

#include "tests/storage/file_storage_support.hpp"

namespace {

using namespace lanes;
using namespace lanes::test;

struct file_storage_refusals : with_a_directory {};

TEST_F(file_storage_refusals, refuses_options_that_are_none) {
    for (const char* name : {"", "/", "directory/"}) {
        EXPECT_EQ(file_storage::try_create(bytes, {.path = name}).error(), errc::bad_option) << name;
    }
    auto zero = std::string(directory / "a") + '\0' + "b";
    EXPECT_EQ(file_storage::try_create(bytes, {.path = zero}).error(), errc::bad_option);
    EXPECT_EQ(file_storage::try_create(bytes, {.path = path, .mode = static_cast<mode>(4)}).error(), errc::bad_option);
    EXPECT_EQ(file_storage::try_create(bytes, {.path = path, .permissions = 01000}).error(), errc::bad_option);
    EXPECT_TRUE(directory.empty());
}

TEST_F(file_storage_refusals, refuses_what_is_no_file) {
    for (mode how : {mode::open, mode::replace, mode::open_or_create}) {
        for (const char* name : {"/tmp", "/dev/null"}) {
            EXPECT_EQ(file_storage::try_create(bytes, {.path = name, .mode = how}).error(), errc::not_a_lane) << name;
        }
    }
    ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
    EXPECT_EQ(make(mode::open, true).error(), errc::not_a_lane);
    EXPECT_EQ(make(mode::replace, true).error(), errc::not_a_lane);
    EXPECT_EQ(directory.files(), 1u);
}

TEST_F(file_storage_refusals, refuses_a_directory_that_is_not_there) {
    write_file('x');
    for (auto where : {directory / "no/file", path / "below"}) {
        for (mode how : {mode::create, mode::replace, mode::open, mode::open_or_create}) {
            for (bool keep : {false, true}) {
                auto none = file_storage::try_create(bytes, {.path = where, .mode = how, .keep = keep});
                EXPECT_EQ(none.error(), errc::file_not_found) << where;
            }
        }
    }
    auto long_name = file_storage::try_create(bytes, {.path = directory / std::string(300, 'x').c_str(), .keep = true});
    EXPECT_EQ(long_name.error(), errc::system_failure);
    EXPECT_EQ(long_name.system_error(), ENAMETOOLONG);
}

TEST_F(file_storage_refusals, an_empty_file_is_truncated) {
    write_file('x', 0);
    for (mode how : {mode::open, mode::open_or_create}) EXPECT_EQ(make(how, false).error(), errc::storage_truncated);
    EXPECT_EQ(directory.files(), 1u);
}

TEST_F(file_storage_refusals, respects_what_belongs_to_somebody_else) {
    write_file('x');
    ASSERT_EQ(chmod(path.c_str(), 0444), 0);
    ASSERT_EQ(chmod(directory.path().c_str(), 0555), 0);
    EXPECT_EQ(in_child([&] {
                  CHILD_REQUIRE(become_nobody());
                  for (mode how : {mode::open, mode::replace, mode::open_or_create}) {
                      for (bool keep : {false, true}) CHILD_REQUIRE(make(how, keep).error() == errc::permission_denied);
                  }
                  for (mode how : {mode::create, mode::replace, mode::open_or_create}) {
                      for (bool keep : {false, true}) {
                          auto none =
                              file_storage::try_create(bytes, {.path = directory / "new", .mode = how, .keep = keep});
                          CHILD_REQUIRE(none.error() == errc::permission_denied && none.system_error() == EACCES);
                      }
                  }
                  return 0;
              }),
              0);
    EXPECT_TRUE(is_file_of('x'));
    EXPECT_EQ(directory.files(), 1u);
}

TEST_F(file_storage_refusals, a_name_that_may_not_be_removed_stays_and_says_so) {
    write_file('x');
    ASSERT_EQ(chmod(path.c_str(), 0666), 0);
    ASSERT_EQ(chmod(directory.path().c_str(), 0555), 0);
    EXPECT_EQ(in_child([&] {
                  CHILD_REQUIRE(become_nobody());
                  auto s = make(mode::open, true).value();
                  CHILD_REQUIRE(s.try_keep(false).error() == errc::permission_denied);
                  CHILD_REQUIRE(s.keeps());
                  return 0;
              }),
              0);
    EXPECT_TRUE(is_file_of('x'));
}

TEST_F(file_storage_refusals, a_limit_of_file_sizes_is_a_full_disk_and_no_signal) {
    write_file('x');
    EXPECT_EQ(
        in_child([&] {
            rlimit limit{8192, 8192};
            CHILD_REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
            for (bool keep : {false, true}) {
                CHILD_REQUIRE(make(mode::replace, keep).error() == errc::disk_full);
                CHILD_REQUIRE(file_storage::try_create(bytes, {.path = directory / "new", .keep = keep}).error() ==
                              errc::disk_full);
            }
            CHILD_REQUIRE(make(mode::open, true));
            return 0;
        }),
        0);
    EXPECT_TRUE(is_file_of('x')) << "a failed replace leaves what it would have replaced";
    EXPECT_EQ(directory.files(), 1u);
}

TEST_F(file_storage_refusals, a_full_disk_is_an_error_when_it_is_made_and_not_a_signal_later) {
    // The kernel's word for it, wherever the test runs.
    EXPECT_EQ(in_child([&] {
                  CHILD_REQUIRE(refuse(SYS_fallocate, ENOSPC));
                  for (bool keep : {false, true}) CHILD_REQUIRE(make(mode::create, keep).error() == errc::disk_full);
                  return 0;
              }),
              0);
    EXPECT_TRUE(directory.empty());

    // And a disk that is full, where the test may make one.
    int verdict = in_child([&] {
        bool own = unshare(CLONE_NEWNS) == 0 && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                   mount("tmpfs", directory.path().c_str(), "tmpfs", 0, "size=1m") == 0;
        if (!own) return 77;
        for (bool keep : {false, true}) CHILD_REQUIRE(make(mode::create, keep, 2 << 20).error() == errc::disk_full);
        CHILD_REQUIRE(directory.empty());
        auto beside = directory / "beside";
        {
            auto most = make(mode::create, true, 900 << 10).value();
            CHILD_REQUIRE(file_storage::try_create(200 << 10, {.path = beside}).error() == errc::disk_full);
            CHILD_REQUIRE(most.reserved());
            std::memset(most.data(), 1, most.size());

            // A file with holes for which there is no room.
            CHILD_REQUIRE(close(open(beside.c_str(), O_CREAT | O_WRONLY, 0600)) == 0 &&
                          truncate(beside.c_str(), 400 << 10) == 0);
            CHILD_REQUIRE(file_storage::try_create(1, {.path = beside, .mode = mode::open}).error() == errc::disk_full);
            CHILD_REQUIRE(std::filesystem::exists(beside));
        }

        // And one that is read-only for everyone.
        CHILD_REQUIRE(mount("none", directory.path().c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) == 0);
        for (mode how : {mode::create, mode::replace, mode::open, mode::open_or_create}) {
            auto none =
                file_storage::try_create(1, {.path = how == mode::create ? directory / "new" : beside, .mode = how});
            CHILD_REQUIRE(none.error() == errc::permission_denied && none.system_error() == EROFS);
        }
        return 0;
    });
    EXPECT_TRUE(verdict == 0 || (verdict == 77 && geteuid() != 0)) << verdict;
    EXPECT_TRUE(directory.empty());
}

TEST_F(file_storage_refusals, says_so_where_blocks_cannot_be_reserved) {
    EXPECT_EQ(in_child([&] {
                  CHILD_REQUIRE(refuse(SYS_fallocate, EOPNOTSUPP));
                  {
                      auto s = make(mode::create, true).value();
                      CHILD_REQUIRE(!s.reserved() && s.fresh() && s.size() == bytes);
                      CHILD_REQUIRE(is_zero(s.data(), bytes));
                      fill(s.data(), bytes, 1);
                  }
                  CHILD_REQUIRE(holds(make(mode::open, true).value().data(), bytes, 1));
                  return 0;
              }),
              0);
    EXPECT_EQ(std::filesystem::file_size(path), bytes);
}

TEST_F(file_storage_refusals, does_without_locks_where_there_are_none) {
    EXPECT_EQ(in_child([&] {
                  CHILD_REQUIRE(refuse(SYS_flock, ENOLCK));
                  auto s = make(mode::create, true).value();
                  CHILD_REQUIRE(make(mode::open, true));
                  return 0;
              }),
              0);
}

TEST_F(file_storage_refusals, a_call_that_signals_interrupt_is_made_again_but_not_for_ever) {
    EXPECT_EQ(in_child([&] {
                  CHILD_REQUIRE(refuse(SYS_fallocate, EINTR));
                  auto none = make(mode::create, true);
                  CHILD_REQUIRE(none.error() == errc::system_failure && none.system_error() == EINTR);
                  return 0;
              }),
              0);
    EXPECT_TRUE(directory.empty());
}

// Where the file system knows no files without a name, and where it does but will not name them.
TEST_F(file_storage_refusals, keeps_its_promises_without_unnamed_files) {
    auto all_of_it = [&] {
        write_file('x');
        CHILD_REQUIRE(make(mode::create, true).error() == errc::file_exists);
        CHILD_REQUIRE(make(mode::replace, true).value().fresh());
        CHILD_REQUIRE(directory.files() == 1 && std::filesystem::file_size(path) == bytes);
        CHILD_REQUIRE(make(mode::replace, false).value().fresh());
        CHILD_REQUIRE(directory.empty());
        CHILD_REQUIRE(make(mode::create, true).value().fresh());
        CHILD_REQUIRE(make(mode::open_or_create, false).value().try_keep(false));
        CHILD_REQUIRE(directory.empty());
        auto temporary = make(mode::create, false).value();
        fill(temporary.data(), bytes, 1);
        CHILD_REQUIRE(directory.empty());
        CHILD_REQUIRE(!temporary.try_keep(true) && !temporary.keeps());
        CHILD_REQUIRE(holds(temporary.data(), bytes, 1));
        CHILD_REQUIRE(directory.empty());
        return 0;
    };
    EXPECT_EQ(in_child([&] {
                  CHILD_REQUIRE(refuse(SYS_openat, EOPNOTSUPP, 2, O_TMPFILE));
                  return all_of_it();
              }),
              0);
    EXPECT_EQ(in_child([&] {
                  CHILD_REQUIRE(refuse(SYS_linkat, EPERM));
                  return all_of_it();
              }),
              0);
    EXPECT_EQ(in_child([&] {  // nor a rename that replaces nothing
                  CHILD_REQUIRE(refuse(SYS_openat, EOPNOTSUPP, 2, O_TMPFILE));
                  CHILD_REQUIRE(refuse(SYS_renameat2, EINVAL));
                  return all_of_it();
              }),
              0);
    EXPECT_EQ(in_child([&] {  // and a failure leaves nothing there either
                  CHILD_REQUIRE(refuse(SYS_openat, EOPNOTSUPP, 2, O_TMPFILE));
                  CHILD_REQUIRE(refuse(SYS_fallocate, ENOSPC));
                  for (bool keep : {false, true}) CHILD_REQUIRE(make(mode::create, keep).error() == errc::disk_full);
                  CHILD_REQUIRE(directory.empty());
                  return 0;
              }),
              0);
}

}  // namespace
