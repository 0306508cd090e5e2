// lane: lanes and highways, and what is built on them, behind the public headers in include/lanes.
//
// Owns: the state of every lane and highway. May call: storage, os. Independent of the heap: memory comes from operator
// new and from the storages, so that the library works in a program with any malloc.
//
// From below upwards, each file calling only what is below it:
//     one lane             owned_core (one thread allocates), shared_core (threads and processes; a lane_word)
//     many lanes           owned_highway_core (spans, scopes), highway_core (limits, growth, lanes by index)
//     on top of them       lane objects, streams, memory resources
//
// Locks, in the order in which they may be taken, which ranked_mutex.hpp checks in debug builds; all are taken around a
// fork. Allocating and releasing takes none.
//     1  highway_list::mutex        the list of all highways
//     2  highway_core::reopening_   one new lane at a time in place of a disposed one
//     3  growth_gate::mutex_        how many threads are making a lane
//     4  highway_core::mutex_       the table of lanes; stable_array's own locks are taken under it only
//     5  registry::forcing          one forced reset or purge at a time
//     6  registry::mutex            the list of lanes between processes
//     7  registry::noting           a lane's flags and what is noted of them change together
#pragma once

#include "lane/highway_core.hpp"
#include "lane/owned_highway_core.hpp"
#include "lane/shared_core.hpp"
