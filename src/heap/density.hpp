// Whether this program writes to most of the large memory it asks for: only then may that be huge pages.
//
// Blocks and blobs vote as they are freed: now and then one is looked at, at the page three quarters into it. A page
// that was never written to reads as zero. (That reading it is allowed is as certain as that the C library may write
// its own links and sizes into freed memory, at both ends.)
#pragma once

#include <atomic>
#include <cstddef>

#include "ground/ground.hpp"
#include "os/os.hpp"

namespace lanes::heap {

class density_votes {
  public:
    // A block of `bytes` bytes, which begins at a page, is about to be given back.
    void vote(const void* block, std::size_t bytes) {
        // A look is a system call, so after a while there are fewer.
        unsigned turn = turn_.fetch_add(1, std::memory_order_relaxed);
        if (turn % (turn < first_turns ? one_in : one_in_later) != 0) return;
        // The program may have taken the right to read it.
        os::probed word =
            os::probe(static_cast<const std::byte*>(block) + bytes / 4 * 3 / ground::page_unit * ground::page_unit);
        int now = votes_.load(std::memory_order_relaxed);
        now = word == os::probed::other ? now + 1 : now - 4;
        votes_.store(now < 0 ? 0 : now > max_votes ? max_votes : now, std::memory_order_relaxed);
    }
    ground::density seen() const {
        return votes_.load(std::memory_order_relaxed) >= enough ? ground::density::dense : ground::density::unknown;
    }

  private:
    static constexpr unsigned first_turns = 256, one_in = 4, one_in_later = 64;
    static constexpr int enough = 4, max_votes = 16;  // guesses: a few in a row, and four misses undo them
    std::atomic<unsigned> turn_{0};
    std::atomic<int> votes_{0};
};

[[gnu::visibility("hidden")]] inline constinit density_votes large_density;

}  // namespace lanes::heap
