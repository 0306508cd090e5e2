// What the tests of the thread cache share.
#pragma once

#include <gtest/gtest.h>

#include "heap/bump_lane.hpp"
#include "heap/thread.hpp"
#include "tests/unit/support.hpp"

namespace lanes::heap {

// A thread's first objects of a class lie in its bump lane, which has nothing to do with the cache.
inline void skip_bump_lane() {
    ASSERT_NE(own_heap(), nullptr);
    register_thread();
    for (std::uint16_t& bytes : current->bumped) bytes = bump_share;
}
template <class F>
void in_fresh_thread(F&& f) {
    test::in_new_thread([&] {
        skip_bump_lane();
        f();
    });
}

}  // namespace lanes::heap
