// Bump lanes: filled in one direction with objects of mixed size, reset when full and all of them are free.
//
// Here they serve the first few objects of each class in each thread. A slot lane of its own costs a class at least a
// page; the first two kilobytes of every class together fit into few. A class that proves hot gets slot lanes.
//
// The lane is one slice, and sixteen more of which only the records are used: their second lines hold the maps of where
// objects start and which are alive. Address space is free, and metadata inside user pages would not be safe.
#pragma once

#include "heap/heap.hpp"
#include "heap/survey.hpp"

namespace lanes::heap {

inline constexpr std::uint32_t bump_bytes = 64 * 1024;
inline constexpr std::uint32_t bump_slices = 17;
inline constexpr std::uint32_t max_bump_object_bytes = 4096;  // bytes of the largest object
inline constexpr std::uint32_t bump_share = 2048;  // bytes a class may take, ever, in one thread: one object at least

// An object of the class, or null when the class has had its share or the lane is full.
void* allocate_bumped(thread_heap*, unsigned size_class);
// From any thread. False when no live object starts there.
bool free_bumped(void* object, slice_record*);
// Whether an object started there that has been freed.
bool was_bumped(const void* object, const slice_record*);
// 0 when no live object starts there.
std::size_t bumped_bytes(const void* object, slice_record*);
// The thread ends: its lane is given to the ground now, or by the thread that frees its last object.
void abandon_bump_lane(thread_heap*);
void survey_bump_lane(const slice_record*, survey_totals&);

}  // namespace lanes::heap
