// Lanes that processes share: what is sent arrives, what is forged is refused, and no byte outside is touched.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "lane/lane_header.hpp"
#include "lanes/lane.hpp"
#include "tests/lane/shared_memory_support.hpp"
#include "tests/storage/storage_support.hpp"

namespace {

using namespace lanes;
using namespace lanes::test;
using detail::lane_header;
using detail::lane_word;

// One direction between two processes.
class channel {
  public:
    channel() {
        if (pipe(ends_) != 0) std::abort();
    }
    channel(const channel&) = delete;
    ~channel() { close(ends_[0]), close(ends_[1]); }

    template <class T>
    bool put(const T& value) {
        return write(ends_[1], &value, sizeof value) == static_cast<ssize_t>(sizeof value);
    }
    template <class T>
    bool take(T& value) {
        return read(ends_[0], &value, sizeof value) == static_cast<ssize_t>(sizeof value);
    }
    int to() const { return ends_[1]; }

  private:
    int ends_[2];
};

// A child that runs beside the parent; in_child() waits for it.
template <class F>
pid_t start_child(F&& f) {
    std::fflush(nullptr);
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        _exit(f());
    }
    return child;
}
int end_of(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

// The same memory as another process would map it.
memfd_lane second_view(const memfd_lane& lane) {
    return memfd_lane(memfd_storage::try_open(dup(lane.storage()->descriptor())).value());
}

TEST(shared_memory, a_sent_fragment_is_received_with_its_bytes_and_released_on_the_other_side) {
    memfd_lane lane(4096);
    memfd_lane other = second_view(lane);
    EXPECT_EQ(other.capacity(), 4096u);
    fragment f = lane.allocate(100);
    mark(f, 7);
    fragment_token token = lane.send(std::move(f));
    EXPECT_TRUE(f.empty());
    EXPECT_EQ(token.size, 100u);
    EXPECT_EQ(lane.live(), 1u) << "the receiver owns it";
    EXPECT_EQ(other.live(), 1u);
    std::span<std::byte> seen = other.look(token);
    EXPECT_TRUE(holds(seen.data(), seen.size(), 7));
    fragment got = other.receive(token);
    EXPECT_EQ(got.size(), 100u);
    EXPECT_TRUE(is_marked(got, 7));
    EXPECT_NE(got.data(), lane.bytes().data()) << "mapped somewhere else";
    EXPECT_EQ(got.release(), errc{});
    EXPECT_EQ(lane.live(), 0u);
    EXPECT_EQ(lane.offset(), 0u);
    EXPECT_EQ(lane.cycle(), 1u);
    EXPECT_EQ(other.cycle(), 1u);
}

TEST(shared_memory, both_sides_see_one_state) {
    memfd_lane a(4096);
    memfd_lane b = second_view(a);
    fragment of_a = a.allocate(16), of_b = b.allocate(16);
    EXPECT_EQ(of_b.data() - b.bytes().data(), 16);
    EXPECT_EQ(a.live(), 2u);
    EXPECT_EQ(a.offset(), b.offset());
    b.close();
    EXPECT_TRUE(a.closed());
    EXPECT_EQ(a.try_allocate(8).error(), errc::lane_closed);
    EXPECT_EQ(of_a.check(), errc::lane_closed);
    a.reopen();
    EXPECT_FALSE(b.closed());
    EXPECT_EQ(b.force_reset(), 2u);
    EXPECT_EQ(of_a.check(), errc::wrong_cycle);
    EXPECT_EQ(of_a.release(), errc::wrong_cycle);
    EXPECT_EQ(a.live(), 0u);
    fragment next = a.allocate(16);
    EXPECT_EQ(of_b.release(), errc::wrong_cycle);
    EXPECT_EQ(a.live(), 1u);
}

TEST(shared_memory, disposing_is_each_side_s_own_affair) {
    memfd_lane a(4096);
    memfd_lane b = second_view(a);
    fragment of_a = a.allocate(16), of_b = b.allocate(16);
    mark(of_a, 1);
    a.dispose();
    EXPECT_TRUE(a.disposed());
    EXPECT_FALSE(b.disposed() || b.closed());
    EXPECT_EQ(of_a.check(), errc::lane_disposed);
    EXPECT_TRUE(is_marked(of_a, 1));
    EXPECT_EQ(a.live(), 0u) << "of a disposed one nothing is known";
    EXPECT_EQ(a.try_receive({}).error(), errc::lane_disposed);
    EXPECT_EQ(a.try_look({}).error(), errc::lane_disposed);
    EXPECT_EQ(a.try_force_reset().error(), errc::lane_disposed);
    EXPECT_EQ(b.live(), 2u);
    EXPECT_EQ(of_a.release(), errc{}) << "what it had comes back to the others";
    EXPECT_EQ(b.live(), 1u);
    EXPECT_TRUE(b.try_allocate(16));
}

TEST(shared_memory, alignments_mean_as_much_on_both_sides_as_they_can) {
    memfd_lane a(65536);
    memfd_lane b = second_view(a);
    EXPECT_EQ(a.try_allocate(8, 8192).error(), errc::bad_alignment);
    for (std::uint64_t alignment = 1; alignment <= 4096; alignment *= 2) {
        fragment f = a.allocate(8, alignment);
        EXPECT_EQ(number(f.data()) % alignment, 0u);
        fragment g = b.receive(a.send(std::move(f)));
        EXPECT_EQ(number(g.data()) % alignment, 0u);
    }
}

TEST(shared_memory, forged_tokens_are_refused) {
    memfd_lane a(4096);
    memfd_lane b = second_view(a);
    fragment warm = a.allocate(16);
    warm.release();  // so that cycles below this one exist
    fragment keeps = a.allocate(1000);
    fragment_token good = a.send(a.allocate(1000));
    auto refused = [&](fragment_token t, errc expected) {
        EXPECT_EQ(b.try_receive(t).error(), expected) << t.offset << ' ' << t.size << ' ' << t.cycle;
        EXPECT_EQ(b.try_look(t).error(), expected);
        EXPECT_EQ(thrown_by([&] { b.receive(t); }), expected);
        EXPECT_EQ(thrown_by([&] { b.look(t); }), expected);
    };
    std::uint64_t used = a.offset();
    for (std::uint64_t offset : {used, used + 1, std::uint64_t{4096}, std::uint64_t{1} << 63, wrapped, wrapped - 999}) {
        refused({offset, 1000, good.cycle}, errc::out_of_bounds);
    }
    for (std::uint64_t size : {std::uint64_t{0}, used - good.offset + 1, std::uint64_t{4096}, std::uint64_t{1} << 63,
                               wrapped, wrapped - good.offset + 1}) {
        refused({good.offset, size, good.cycle}, errc::out_of_bounds);
    }
    for (std::uint64_t cycle : {good.cycle - 1, good.cycle + 1, good.cycle + 256, good.cycle - 256, wrapped}) {
        refused({good.offset, good.size, cycle}, errc::wrong_cycle);
    }
    EXPECT_EQ(a.live(), 2u) << "what is refused counts nothing";
    a.close();
    refused(good, errc::lane_closed);
    a.reopen();
    EXPECT_TRUE(b.try_receive(good));  // and released at once
    keeps.release();
    refused(good, errc::negative_reset);
    fragment next = a.allocate(2016);
    refused(good, errc::wrong_cycle);
    EXPECT_EQ(a.live(), 1u);
}

TEST(shared_memory, a_token_received_twice_is_no_wild_access) {
    memfd_lane a(4096);
    fragment_token token = a.send(a.allocate(64));
    fragment once = a.receive(token), twice = a.receive(token);
    EXPECT_EQ(once.release(), errc{});
    EXPECT_EQ(twice.release(), errc::negative_reset);
    EXPECT_EQ(a.live(), 0u);
    EXPECT_EQ(a.offset(), 0u);
    EXPECT_EQ(a.try_receive(token).error(), errc::negative_reset);
}

TEST(shared_memory, only_fragments_of_this_lane_are_sent) {
    memfd_lane lane(4096), stranger(4096);
    heap_lane heap(4096);
    EXPECT_EQ(lane.try_send({}).error(), errc::not_initialised);
    EXPECT_EQ(lane.try_send(stranger.allocate(16)).error(), errc::not_a_lane);
    EXPECT_EQ(stranger.live(), 0u) << "it is released, as every fragment that goes";
    EXPECT_EQ(lane.try_send(slot(16).into_fragment()).error(), errc::not_a_lane);
    EXPECT_EQ(heap.try_send(heap.allocate(16)).error(), errc::not_a_lane);
    EXPECT_EQ(heap.try_receive({0, 16, 0}).error(), errc::not_a_lane);
    EXPECT_EQ(heap.try_look({0, 16, 0}).error(), errc::not_a_lane);
    EXPECT_TRUE(heap.contents().empty());
    fragment stale = lane.allocate(16);
    lane.force_reset();
    EXPECT_EQ(lane.try_send(std::move(stale)).error(), errc::wrong_cycle);
    fragment closed = lane.allocate(16);
    lane.close();
    EXPECT_EQ(lane.try_send(std::move(closed)).error(), errc::lane_closed);
    EXPECT_FALSE(closed.empty()) << "what was not sent stays the caller's";
    EXPECT_EQ(lane.live(), 1u);
    closed.release();
    EXPECT_EQ(lane.live(), 0u);
}

TEST(shared_memory, cycles_stay_exact_beyond_what_the_word_holds) {
    memfd_lane a(4096);
    memfd_lane b = second_view(a);
    for (std::uint64_t cycle = 0; cycle < 700; ++cycle) {
        fragment_token token = a.send(a.allocate(16));
        ASSERT_EQ(token.cycle, cycle);
        ASSERT_TRUE(b.try_receive(token)) << cycle;
        ASSERT_EQ(b.cycle(), cycle + 1);
    }
}

TEST(shared_memory, holds_a_million_fragments_and_still_answers) {
    constexpr std::uint64_t limit = (std::uint64_t{1} << 20) - 1;
    memfd_lane lane((limit + 1) * 16);
    std::vector<fragment> all;
    all.reserve(limit);
    for (std::uint64_t i = 0; i < limit; ++i) all.push_back(lane.allocate(8));
    EXPECT_EQ(lane.try_allocate(8).error(), errc::too_many_fragments);
    EXPECT_EQ(lane.live(), limit);
    EXPECT_EQ(lane.offset(), limit * 16);
    EXPECT_TRUE(lane.try_close());
    EXPECT_TRUE(lane.closed());
    EXPECT_TRUE(lane.try_reopen());
    all.clear();
    EXPECT_EQ(lane.cycle(), 1u);
}

TEST(shared_memory, a_child_receives_verifies_and_releases_what_its_parent_sends) {
    memfd_lane lane(65536);
    channel tokens;
    constexpr std::uint64_t many = 200;
    pid_t child = start_child([&] {
        for (std::uint64_t i = 0; i < many; ++i) {
            fragment_token token;
            CHILD_REQUIRE(tokens.take(token));
            auto seen = lane.try_look(token);
            CHILD_REQUIRE(seen && holds(seen->data(), seen->size(), i));
            auto got = lane.try_receive(token);
            CHILD_REQUIRE(got && is_marked(*got, i));
            CHILD_REQUIRE(got->release() == errc{});
        }
        return 0;
    });
    for (std::uint64_t i = 0; i < many; ++i) {
        fragment f = lane.allocate(1 + i);
        mark(f, i);
        EXPECT_TRUE(tokens.put(lane.send(std::move(f))));
    }
    EXPECT_EQ(end_of(child), 0);
    EXPECT_EQ(lane.live(), 0u);
    EXPECT_EQ(lane.offset(), 0u);
    EXPECT_GE(lane.cycle(), 1u);
}

TEST(shared_memory, a_child_s_copies_of_its_parent_s_fragments_release_nothing) {
    memfd_lane lane(4096);
    fragment f = lane.allocate(64), g = lane.allocate(64);
    mark(f, 1);
    EXPECT_EQ(in_child([&] {
                  CHILD_REQUIRE(f.check() == errc::wrong_cycle);
                  CHILD_REQUIRE(lane.live() == 2);
                  CHILD_REQUIRE(is_marked(f, 1));
                  CHILD_REQUIRE(f.release() == errc::wrong_cycle);
                  CHILD_REQUIRE(lane.live() == 2);
                  fragment mine = lane.allocate(64);
                  CHILD_REQUIRE(mine.check() == errc{});
                  CHILD_REQUIRE(lane.live() == 3);
                  lane = memfd_lane();
                  CHILD_REQUIRE(mine.check() == errc::lane_disposed);
                  mark(mine, 2);
                  CHILD_REQUIRE(mine.release() == errc{});
                  CHILD_REQUIRE(g.release() == errc::wrong_cycle);
                  return 0;
              }),
              0);
    EXPECT_EQ(f.check(), errc{});
    EXPECT_EQ(lane.live(), 2u);
    EXPECT_TRUE(is_marked(f, 1));
    EXPECT_EQ(f.release(), errc{});
    EXPECT_EQ(g.release(), errc{});
    EXPECT_EQ(lane.offset(), 0u);
}

TEST(shared_memory, a_child_frees_the_mapping_of_a_lane_that_was_disposed_before_the_fork) {
    memfd_lane lane(4096);
    fragment f = lane.allocate(64), orphan = lane.allocate(64);
    const std::byte* at = f.data();
    lane.dispose();
    EXPECT_EQ(in_child([&] {
                  CHILD_REQUIRE(f.check() == errc::wrong_cycle);
                  f.release();
                  CHILD_REQUIRE(is_mapped(at, 64));
                  orphan.release();
                  CHILD_REQUIRE(!is_mapped(at, 64));
                  return 0;
              }),
              0);
    EXPECT_TRUE(is_mapped(at, 64));
    f.release(), orphan.release();
    EXPECT_FALSE(is_mapped(at, 64));
}

TEST(shared_memory, copies_stay_harmless_through_generations_of_children) {
    memfd_lane lane(4096);
    fragment f = lane.allocate(64);
    EXPECT_EQ(in_child([&] {
                  fragment mine = lane.allocate(64);
                  int inner = in_child([&] {
                      CHILD_REQUIRE(f.check() == errc::wrong_cycle && mine.check() == errc::wrong_cycle);
                      CHILD_REQUIRE(f.release() == errc::wrong_cycle && mine.release() == errc::wrong_cycle);
                      CHILD_REQUIRE(lane.live() == 2);
                      return 0;
                  });
                  CHILD_REQUIRE(inner == 0);
                  CHILD_REQUIRE(mine.check() == errc{} && mine.release() == errc{});
                  return 0;
              }),
              0);
    EXPECT_EQ(lane.live(), 1u);
    EXPECT_EQ(f.release(), errc{});
    EXPECT_EQ(lane.live(), 0u);
}

// Allocates, marks, verifies and releases in the lane that another process works in, too. The number of what went
// wrong.
int share(lane_ref lane, std::uint64_t tag, std::uint64_t seed, int steps) {
    random_source random(seed + tag);
    std::vector<std::pair<fragment, std::uint64_t>> held;
    int wrong = 0;
    for (int i = 0; i < steps; ++i) {
        if (held.size() < 8 && random.percent(55)) {
            auto f = lane.try_allocate(1 + random.below(200), std::uint64_t{1} << random.below(8));
            if (!f) {
                wrong += f.error() != errc::lane_full;
                held.clear();
                continue;
            }
            std::uint64_t mine = random() << 8 | tag;
            mark(*f, mine);
            held.emplace_back(*std::move(f), mine);
        } else if (!held.empty()) {
            std::swap(held[random.below(held.size())], held.back());
            wrong += !is_marked(held.back().first, held.back().second);
            wrong += held.back().first.release() != errc{};
            held.pop_back();
        }
    }
    for (auto& [f, mine] : held) wrong += !is_marked(f, mine);
    return wrong;
}

TEST(shared_memory, two_processes_allocate_at_once_and_never_the_same_byte) {
    random_source random("two_processes");
    std::uint64_t seed = random();
    memfd_lane lane(8192);
    pid_t child = start_child([&] { return share(lane, 1, seed, 20000) == 0 ? 0 : 1; });
    EXPECT_EQ(share(lane, 2, seed, 20000), 0);
    EXPECT_EQ(end_of(child), 0);
    EXPECT_EQ(lane.live(), 0u);
    EXPECT_EQ(lane.offset(), 0u);
}

TEST(shared_memory, a_killed_child_pins_the_lane_until_it_is_reset_by_force) {
    memfd_lane lane(4096);
    channel ready;
    pid_t child = start_child([&] {
        fragment f = lane.allocate(3000);
        ready.put('x');
        while (true) pause();
        return 0;
    });
    char c;
    ASSERT_TRUE(ready.take(c));
    kill(child, SIGKILL);
    EXPECT_EQ(end_of(child), 1000 + SIGKILL);
    EXPECT_EQ(lane.live(), 1u);
    EXPECT_EQ(lane.try_allocate(2000).error(), errc::lane_full);
    fragment mine = lane.allocate(1000);
    mine.release();
    EXPECT_EQ(lane.live(), 1u) << "pinned";
    EXPECT_EQ(lane.force_reset(), 1u);
    EXPECT_EQ(lane.live(), 0u);
    fragment all = lane.allocate(4096);
    EXPECT_EQ(all.check(), errc{});
    EXPECT_EQ(all.release(), errc{});
    EXPECT_EQ(lane.cycle(), 2u);
}

TEST(shared_memory, a_second_program_opens_an_inherited_lane) {
    memfd_lane lane(4096, memfd_storage::options{.name = "lanes-test", .inherit = true});
    fragment f = lane.allocate(100);
    mark(f, 99);
    fragment_token token = lane.send(std::move(f));
    channel answers;
    std::string args[] = {std::to_string(lane.storage()->descriptor()), std::to_string(answers.to()),
                          std::to_string(token.offset), std::to_string(token.size), std::to_string(token.cycle)};
    std::fflush(nullptr);
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "shared_memory_test", "--second-program", args[0].c_str(), args[1].c_str(),
              args[2].c_str(), args[3].c_str(), args[4].c_str(), nullptr);
        _exit(127);
    }
    EXPECT_EQ(end_of(child), 0);
    EXPECT_EQ(lane.live(), 1u) << "what the second program sent";
    ASSERT_TRUE(answers.take(token));
    fragment answer = lane.receive(token);
    EXPECT_EQ(answer.size(), 50u);
    EXPECT_TRUE(is_marked(answer, 100));
    answer.release();
    EXPECT_EQ(lane.offset(), 0u);
}

int second_program(char** args) {
    alarm(60);
    auto number_of = [](const char* text) { return std::strtoull(text, nullptr, 10); };
    auto storage = memfd_storage::try_open(std::atoi(args[0]));
    CHILD_REQUIRE(storage);
    auto lane = memfd_lane::try_over(*std::move(storage));
    CHILD_REQUIRE(lane);
    CHILD_REQUIRE(lane->capacity() == 4096);
    fragment_token token{number_of(args[2]), number_of(args[3]), number_of(args[4])};
    auto got = lane->try_receive(token);
    CHILD_REQUIRE(got && is_marked(*got, 99));
    auto answer = lane->try_allocate(50);
    CHILD_REQUIRE(answer);
    mark(*answer, 100);
    CHILD_REQUIRE(got->release() == errc{});
    token = lane->send(*std::move(answer));
    CHILD_REQUIRE(write(std::atoi(args[1]), &token, sizeof token) == sizeof token);
    return 0;
}

TEST(shared_memory, a_child_forked_during_a_forced_reset_of_another_thread_can_force_one_itself) {
    memfd_lane lane(4096);
    heap_lane other(4096);
    std::atomic<bool> stop = false;
    std::atomic<int> resets = 0;
    std::thread resetter([&] {
        while (!stop) {
            other.force_reset();
            ++resets;
        }
    });
    while (resets == 0) std::this_thread::yield();
    for (int i = 0; i < 30; ++i) {
        EXPECT_EQ(in_child([&] { return lane.try_force_reset() && other.try_force_reset() ? 0 : 1; }, 20), 0);
        if (HasFailure()) break;
    }
    stop = true;
    resetter.join();
}

TEST(shared_memory, whatever_others_write_into_the_state_fragments_lie_in_the_lane) {
    random_source random("hostile_state");
    for (std::uint64_t capacity : {16u, 100u, 4096u, 100000u}) {
        memfd_lane lane(capacity);
        std::span<const std::byte> storage(lane.storage()->data(), lane.storage()->size());
        auto* header = reinterpret_cast<lane_header*>(lane.storage()->data());
        for (int i = 0; i < 500; ++i) {
            // All of it at random, or some plausible word; now and then the rest of the header.
            std::uint64_t word = random();
            if (random.percent(50)) word &= ~(lane_word::closed_bit | lane_word::disposed_bit);
            if (random.percent(50)) word = (word & ~lane_word::max_units) | random.below(capacity / 16 + 3);
            header->state.word.store(word);
            if (random.percent(20)) header->state.begun.store(random());
            if (random.percent(20)) header->capacity = random();
            if (random.percent(20)) header->granule_shift = static_cast<std::uint32_t>(random());
            expect_inside(lane, storage, random);
            if (HasFailure()) return;
            if (random.percent(30)) lane.force_reset();
            (void)lane.try_reopen();
        }
    }
}

TEST(shared_memory, no_flipped_bit_of_the_header_leads_out_of_the_lane) {
    random_source random("flips");
    memfd_lane lane(1000);
    for (int i = 0; i < 3; ++i) (void)lane.send(lane.allocate(100));
    std::string whole(reinterpret_cast<const char*>(lane.storage()->data()), lane.storage()->size());
    for (std::size_t at = 0; at < sizeof(lane_header); ++at) {
        for (unsigned mask : {1u, 2u, 4u, 8u, 16u, 32u, 64u, 128u, 255u}) {
            std::string bytes = whole;
            bytes[at] = static_cast<char>(static_cast<unsigned char>(bytes[at]) ^ mask);
            int fd = memfd_create("flipped", MFD_CLOEXEC | MFD_ALLOW_SEALING);
            ASSERT_EQ(write(fd, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
            auto flipped = memfd_lane::try_over(memfd_storage::try_open(fd).value());
            if (!flipped) continue;
            expect_inside(*flipped, {flipped->storage()->data(), flipped->storage()->size()}, random);
            if (HasFailure()) FAIL() << "byte " << at << " flipped by " << mask;
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 7 && std::string_view(argv[1]) == "--second-program") return second_program(argv + 2);
    testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
