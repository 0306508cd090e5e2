// What goes back to the system, and when: free slices beyond the purge budget as part of freeing, and what the users of
// slices purge themselves.
#pragma once

#include "ground/ground.hpp"

namespace lanes::ground {

// Purges pages of slices in use: [at, at + bytes), whole pages of the machine. False if the system refuses.
bool purge_inside(void* at, std::size_t bytes);

// For a user that keeps to the purge budget inside its slices: so many pages were purged for it, so many of those are
// wanted again. The budget learns from both.
void note_purged(std::uint32_t pages);
void note_wanted_again(std::uint32_t pages);

// Bytes behind slices in use, about; read without a lock.
std::size_t used_bytes();

// Bytes of free memory that may stay dirty now.
std::size_t purge_budget();

// Purges free slices until at most `keep` bytes of them are dirty; returns the bytes purged.
std::size_t purge(std::size_t keep);

// Private to ground, under the ground lock:

// Purges free slices, highest first, until at most `keep` pages of them are dirty. The lock is held at entry and at
// exit but not during the system calls. At most `max_runs` runs. Returns how many pages were purged.
std::uint32_t purge_down_to(std::uint32_t keep, std::uint32_t max_runs);

// What the budget learns from: pages that had been purged are wanted again, or are purged now.
void regret(std::uint32_t pages);
void note_purged_locked(std::uint32_t pages);

// Pages that may stay dirty. Without the lock, too.
std::uint32_t budget_pages();

}  // namespace lanes::ground
