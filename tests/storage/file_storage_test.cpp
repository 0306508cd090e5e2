// Storage in a file: which files are made, opened, kept and removed.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <barrier>
#include <thread>
#include <utility>
#include <vector>

#include "tests/storage/file_storage_support.hpp"

namespace {

using namespace lanes;
using namespace lanes::test;

struct file_storage_names : with_a_directory {};

// ---- names, modes, contents

TEST_F(file_storage_names, is_a_new_file_of_its_size_and_room) {
    auto s = make(mode::create, true).value();
    EXPECT_TRUE(s.fresh());
    EXPECT_TRUE(s.keeps());
    EXPECT_EQ(s.size(), bytes);
    EXPECT_EQ(s.path(), path);
    struct stat file;
    ASSERT_EQ(stat(path.c_str(), &file), 0);
    EXPECT_EQ(file.st_size, static_cast<off_t>(bytes));
    EXPECT_EQ(file.st_mode & 07777, 0600u);
    EXPECT_TRUE(!s.reserved() || file.st_blocks * 512 >= static_cast<off_t>(bytes));
}

TEST_F(file_storage_names, kept_contents_are_there_when_it_is_opened_again) {
    {
        auto s = make(mode::create, true).value();
        fill(s.data(), bytes, 1);
    }
    auto s = make(mode::open, true, 1).value();
    EXPECT_FALSE(s.fresh());
    EXPECT_EQ(s.size(), bytes);
    EXPECT_TRUE(holds(s.data(), bytes, 1));
}

TEST_F(file_storage_names, is_opened_as_it_is_by_its_path_alone) {
    EXPECT_EQ(file_storage::try_open(path).error(), errc::file_not_found);
    EXPECT_THROW(file_storage::open(path), error);
    write_file('x');
    auto s = file_storage::open(path);
    EXPECT_EQ(s.size(), 6000u);
    EXPECT_TRUE(s.keeps() && !s.fresh());
    EXPECT_EQ(static_cast<char>(s.data()[5999]), 'x');
}

TEST_F(file_storage_names, is_shared_by_all_who_open_it_to_share) {
    auto a = share(mode::create).value();
    auto b = share(mode::open).value();
    fill(a.data(), bytes, 2);
    EXPECT_TRUE(holds(b.data(), bytes, 2));
    EXPECT_EQ(make(mode::open, true).error(), errc::file_in_use);
}

TEST_F(file_storage_names, is_one_storages_at_a_time) {
    {
        auto a = make(mode::create, true).value();
        for (mode how : {mode::open, mode::open_or_create}) EXPECT_EQ(make(how, true).error(), errc::file_in_use);
        EXPECT_EQ(share(mode::open).error(), errc::file_in_use);
        EXPECT_EQ(in_child([&] { return make(mode::open, true).error() == errc::file_in_use ? 0 : 1; }), 0);
        auto moved = std::move(a);
        EXPECT_EQ(make(mode::open, true).error(), errc::file_in_use);
    }
    auto again = make(mode::open, true).value();
    EXPECT_EQ(make(mode::open, true).error(), errc::file_in_use);
}

// Its memory may still have fragments in it.
TEST_F(file_storage_names, is_in_use_as_long_as_a_child_has_it) {
    int go[2];
    ASSERT_EQ(pipe(go), 0);
    pid_t child = -1;
    {
        auto a = make(mode::create, true).value();
        child = fork();
        if (child == 0) {
            char byte;
            close(go[1]);
            _exit(read(go[0], &byte, 1) == 0 ? 0 : 1);
        }
    }
    ASSERT_GT(child, 0);
    EXPECT_EQ(make(mode::open, true).error(), errc::file_in_use);
    close(go[0]);
    close(go[1]);
    int status = -1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_TRUE(make(mode::open, true));
}

TEST_F(file_storage_names, create_refuses_a_name_that_is_taken) {
    write_file('x');
    for (bool keep : {false, true}) EXPECT_EQ(make(mode::create, keep).error(), errc::file_exists);
    EXPECT_TRUE(is_file_of('x'));
    std::filesystem::remove(path);
    std::filesystem::create_symlink("nowhere", path);
    for (mode how : {mode::create, mode::replace, mode::open_or_create}) {
        EXPECT_EQ(make(how, true).error(), errc::file_exists) << "a link that leads nowhere";
    }
    EXPECT_EQ(directory.files(), 1u);
}

TEST_F(file_storage_names, open_refuses_a_name_that_is_not_there) {
    EXPECT_EQ(make(mode::open, true).error(), errc::file_not_found);
    EXPECT_TRUE(directory.empty());
}

// One process removes its files again and again; one opened in between still has its name.
TEST_F(file_storage_names, is_never_one_that_has_lost_its_name) {
    std::atomic<bool> enough{false};
    std::thread remover([&] {
        while (!enough) {
            if (auto s = make(mode::open_or_create, true)) {
                EXPECT_TRUE(s->try_keep(false));
            }
        }
    });
    int got = 0;
    for (int i = 0; i < 20'000 && got < 500; ++i) {
        auto s = make(mode::open_or_create, true);
        if (!s) {
            ASSERT_TRUE(s.error() == errc::file_in_use || s.error() == errc::file_not_found ||
                        s.error() == errc::file_exists)
                << message(s.error());
            std::this_thread::yield();
            continue;
        }
        ++got;
        ASSERT_TRUE(std::filesystem::exists(path));
    }
    enough = true;
    remover.join();
}

TEST_F(file_storage_names, open_or_create_does_whichever_is_possible) {
    EXPECT_TRUE(make(mode::open_or_create, true).value().fresh());
    auto s = make(mode::open_or_create, true, 1).value();
    EXPECT_FALSE(s.fresh());
    EXPECT_EQ(s.size(), bytes);
}

TEST_F(file_storage_names, open_or_create_by_many_at_once_makes_one_file) {
    constexpr int rounds = 200, threads = 4;
    for (int round = 0; round < rounds; ++round) {
        std::atomic<int> fresh{0}, opened{0};
        std::barrier start(threads);
        std::vector<std::thread> all;
        for (int i = 0; i < threads; ++i) {
            all.emplace_back([&] {
                start.arrive_and_wait();
                auto s = share(mode::open_or_create);
                if (s) (s->fresh() ? fresh : opened).fetch_add(1);
            });
        }
        for (auto& t : all) t.join();
        EXPECT_EQ(fresh.load(), 1);
        EXPECT_EQ(opened.load(), threads - 1);
        EXPECT_EQ(directory.files(), 1u);
        std::filesystem::remove(path);
    }
}

TEST_F(file_storage_names, replace_makes_a_new_file_and_leaves_the_old_one_to_who_has_it) {
    auto old = make(mode::create, true).value();
    fill(old.data(), bytes, 1);
    auto s = make(mode::replace, true, 4096).value();
    EXPECT_TRUE(s.fresh());
    EXPECT_EQ(s.size(), 4096u);
    EXPECT_TRUE(is_zero(s.data(), 4096));
    EXPECT_TRUE(holds(old.data(), bytes, 1)) << "shrinking it would be SIGBUS here";
    EXPECT_EQ(std::filesystem::file_size(path), 4096u);
    EXPECT_EQ(directory.files(), 1u);
}

TEST_F(file_storage_names, replace_needs_no_file_to_replace) {
    EXPECT_TRUE(make(mode::replace, true).value().fresh());
    EXPECT_EQ(directory.files(), 1u);
}

TEST_F(file_storage_names, replace_by_a_temporary_file_leaves_none) {
    write_file('x');
    {
        auto s = make(mode::replace, false).value();
        EXPECT_TRUE(s.fresh());
        EXPECT_TRUE(directory.empty());
    }
    EXPECT_TRUE(directory.empty());
}

TEST_F(file_storage_names, a_link_to_a_file_is_followed_and_stays) {
    write_file('x');
    auto link = directory / "link";
    std::filesystem::create_symlink(path, link);
    auto s = file_storage::try_create(bytes, {.path = link, .mode = mode::replace, .keep = true, .exclusive = false})
                 .value();
    EXPECT_EQ(s.path(), path);
    EXPECT_TRUE(std::filesystem::is_symlink(link));
    EXPECT_EQ(std::filesystem::file_size(path), bytes);
    auto opened = file_storage::try_create(bytes, {.path = link, .mode = mode::open, .exclusive = false}).value();
    EXPECT_TRUE(opened.try_keep(false));
    EXPECT_TRUE(std::filesystem::is_symlink(link));
    EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(file_storage_names, a_relative_path_means_the_same_file_in_any_directory) {
    EXPECT_EQ(in_child([&] {
                  CHILD_REQUIRE(chdir(directory.path().c_str()) == 0);
                  auto s = file_storage::try_create(bytes, {.path = "relative", .keep = true}).value();
                  auto temporary = file_storage::try_create(bytes, {.path = "./second"}).value();
                  CHILD_REQUIRE(chdir("/") == 0);
                  CHILD_REQUIRE(s.path() == directory / "relative");
                  CHILD_REQUIRE(s.try_sync(0, bytes));
                  CHILD_REQUIRE(s.try_keep(false));
                  CHILD_REQUIRE(directory.empty());
                  CHILD_REQUIRE(temporary.try_keep(true));
                  CHILD_REQUIRE(std::filesystem::exists(directory / "second"));
                  return 0;
              }),
              0);
}

TEST_F(file_storage_names, permissions_are_those_of_the_options_less_the_umask) {
    EXPECT_EQ(in_child([&] {
                  umask(027);
                  struct stat file;
                  for (mode how : {mode::create, mode::replace}) {
                      auto s = file_storage::try_create(bytes,
                                                        {.path = path, .mode = how, .keep = true, .permissions = 0666})
                                   .value();
                      CHILD_REQUIRE(stat(path.c_str(), &file) == 0 && (file.st_mode & 07777) == 0640);
                  }
                  return 0;
              }),
              0);
}

// ---- kept and temporary

TEST_F(file_storage_names, a_temporary_file_never_has_a_name) {
    auto s = make(mode::create, false).value();
    EXPECT_FALSE(s.keeps());
    EXPECT_TRUE(directory.empty());
    fill(s.data(), bytes, 1);
    EXPECT_TRUE(make(mode::create, false)) << "the name is free";
}

TEST_F(file_storage_names, a_killed_process_leaves_what_is_kept_and_nothing_else) {
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        auto kept = make(mode::create, true).value();
        auto temporary = file_storage::try_create(bytes, {.path = directory / "temporary"}).value();
        fill(kept.data(), bytes, 1);
        fill(temporary.data(), bytes, 2);
        if (write(ready[1], "x", 1) == 1) pause();
        _exit(1);
    }
    close(ready[1]);
    char byte;
    EXPECT_EQ(read(ready[0], &byte, 1), 1);
    kill(child, SIGKILL);
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
    }
    close(ready[0]);
    EXPECT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(directory.files(), 1u);
    EXPECT_TRUE(holds(make(mode::open, true).value().data(), bytes, 1));
}

TEST_F(file_storage_names, an_existing_file_that_is_opened_stays) {
    for (mode how : {mode::open, mode::open_or_create}) {
        write_file('x');
        EXPECT_TRUE(make(how, false).value().keeps());
        EXPECT_TRUE(is_file_of('x'));
    }
}

TEST_F(file_storage_names, a_temporary_file_can_be_kept_after_all) {
    {
        auto s = make(mode::create, false).value();
        fill(s.data(), bytes, 1);
        ASSERT_TRUE(s.try_keep(true));
        EXPECT_TRUE(s.try_keep(true));
        EXPECT_TRUE(s.keeps());
        EXPECT_EQ(open_descriptors(), descriptors) << "what has a name needs no descriptor";
    }
    EXPECT_TRUE(holds(make(mode::open, true).value().data(), bytes, 1));
}

TEST_F(file_storage_names, keeping_takes_no_name_from_another_file) {
    auto s = make(mode::create, false).value();
    write_file('x');
    EXPECT_EQ(s.try_keep(true).error(), errc::file_exists);
    EXPECT_FALSE(s.keeps());
    EXPECT_TRUE(is_file_of('x'));
    std::filesystem::remove(path);
    EXPECT_TRUE(s.try_keep(true));
    std::filesystem::remove(path);
}

TEST_F(file_storage_names, no_longer_keeping_removes_the_name_for_good) {
    auto s = make(mode::create, true).value();
    fill(s.data(), bytes, 1);
    EXPECT_TRUE(s.try_keep(false));
    EXPECT_TRUE(s.try_keep(false));
    EXPECT_TRUE(directory.empty());
    EXPECT_TRUE(holds(s.data(), bytes, 1));
    EXPECT_EQ(s.try_keep(true).error(), errc::system_failure);
    EXPECT_FALSE(s.keeps());
}

TEST_F(file_storage_names, no_longer_keeping_leaves_another_file_of_that_name) {
    auto s = make(mode::create, true).value();
    std::filesystem::remove(path);
    write_file('x');
    EXPECT_TRUE(s.try_keep(false));
    EXPECT_TRUE(is_file_of('x'));
}

TEST_F(file_storage_names, a_moved_storage_removes_nothing_and_keeps_what_it_kept) {
    auto s = make(mode::create, false).value();
    auto moved = std::move(s);
    EXPECT_TRUE(moved.try_keep(true));
    EXPECT_EQ(s.try_keep(true).error(), errc::not_initialised);
    EXPECT_EQ(s.try_sync(0, 0).error(), errc::not_initialised);
    EXPECT_EQ(directory.files(), 1u);
}

// ---- sync

TEST_F(file_storage_names, sync_takes_any_range_inside_and_none_outside) {
    auto s = make(mode::create, true).value();
    fill(s.data(), bytes, 1);
    EXPECT_NO_THROW(s.sync(0, bytes));
    EXPECT_TRUE(s.try_sync(4097, 1));
    EXPECT_TRUE(s.try_sync(bytes, 0));
    EXPECT_EQ(s.try_sync(0, bytes + 1).error(), errc::out_of_bounds);
    EXPECT_EQ(s.try_sync(bytes + 1, 0).error(), errc::out_of_bounds);
    EXPECT_EQ(s.try_sync(1, negative).error(), errc::out_of_bounds);
    EXPECT_THROW(s.sync(negative, 1), error);
    EXPECT_TRUE(make(mode::replace, false).value().try_sync(0, bytes)) << "without a name";
}

TEST_F(file_storage_names, sync_confirms_no_name_that_is_not_on_the_medium) {
    EXPECT_EQ(in_child([&] {
                  auto s = make(mode::create, true).value();
                  CHILD_REQUIRE(refuse(SYS_fsync, EIO));
                  auto refused = s.try_sync(0, bytes);
                  CHILD_REQUIRE(refused.error() == errc::system_failure && refused.system_error() == EIO);
                  CHILD_REQUIRE(!s.try_sync(0, bytes));
                  return 0;
              }),
              0);
}

}  // namespace
