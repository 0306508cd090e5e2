// The state of the ground, and its marks of free and of dirty slices.
#include "ground/state.hpp"

#include "ground/huge.hpp"

namespace lanes::ground {

constinit ground_state state{};
constinit slice_map free_map{};
constinit slice_map dirty_map{};

void add_free(slice_index first, std::uint32_t n) {
    free_map.set(first, n);
    if (first < state.lowest_free) state.lowest_free = first;
    if (first / region_slices < state.lowest_huge) state.lowest_huge = first / region_slices;
}

void mark_dirty(slice_index s) {
    dirty_map.set(s, 1);
    if (s < state.lowest_dirty) state.lowest_dirty = s;
}

}  // namespace lanes::ground
