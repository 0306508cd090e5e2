// Whether this program writes to most of the large memory it asks for: only then may that be huge pages.
//
// Blocks and blobs vote as they are freed: now and then one is looked at, at the page three quarters into it. A page
// that was never written to reads as zero. (That reading it is allowed is as certain as that the C library may write
// its own links and sizes into freed memory, at both ends.)
#pragma once

#include <atomic>
#include <cstddef>
#include <cstring>

#include "ground/ground.hpp"

namespace lanes::heap {

class density_votes {
  public:
    // A block of `bytes` bytes, which begins at a page, is about to be given back.
    void vote(const void* block, std::size_t bytes) {
        if (turn_.fetch_add(1, std::memory_order_relaxed) % one_in != 0) return;
        std::uint64_t word;
        std::memcpy(&word, static_cast<const std::byte*>(block) + bytes / 4 * 3 / ground::page_unit * ground::page_unit,
                    sizeof word);
        int now = votes_.load(std::memory_order_relaxed);
        now = word != 0 ? now + 1 : now - 4;
        votes_.store(now < 0 ? 0 : now > max_votes ? max_votes : now, std::memory_order_relaxed);
    }
    ground::density seen() const {
        return votes_.load(std::memory_order_relaxed) >= enough ? ground::density::dense : ground::density::unknown;
    }

  private:
    static constexpr unsigned one_in = 4;
    static constexpr int enough = 4, max_votes = 16;  // guesses: a few in a row, and four misses undo them
    std::atomic<unsigned> turn_{0};
    std::atomic<int> votes_{0};
};

[[gnu::visibility("hidden")]] inline constinit density_votes large_density;

}  // namespace lanes::heap
