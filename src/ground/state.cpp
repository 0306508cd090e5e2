// The state of the ground, and slices that change between its indexes.
#include "ground/state.hpp"

namespace lanes::ground {

constinit ground_state state{};
constinit base::run_index free_mapped{};
constinit base::run_index free_small{};
constinit base::run_index free_huge{};
constinit base::run_index free_unmapped{};
constinit base::run_index dirty_slices{};
constinit region_map huge_map{};

namespace {

// Parts of [first, first + n) that lie in huge regions, and parts that do not.
template <class F>
void for_parts(slice_index first, std::uint32_t n, F&& f) {
    slice_index end = first + n;
    std::uint32_t last = region_of(end - 1) + 1;
    while (first < end) {
        bool huge = huge_map.test(region_of(first));
        std::uint32_t change =
            huge ? huge_map.next_clear(region_of(first), last) : huge_map.next_set(region_of(first), last);
        slice_index stop = start_of(change) < end ? start_of(change) : end;
        f(huge ? free_huge : free_small, first, stop - first);
        first = stop;
    }
}

}  // namespace

void add_free(slice_index first, std::uint32_t n) {
    free_mapped.set(first, n);
    for_parts(first, n, [](base::run_index& index, slice_index at, std::uint32_t slices) { index.set(at, slices); });
}

void remove_free(slice_index first, std::uint32_t n) {
    free_mapped.clear(first, n);
    for_parts(first, n, [](base::run_index& index, slice_index at, std::uint32_t slices) { index.clear(at, slices); });
}

void add_unmapped(slice_index first, std::uint32_t n) {
    bool joins_before = first > 0 && free_unmapped.test(first - 1);
    bool joins_behind = first + n < state.frontier && free_unmapped.test(first + n);
    free_unmapped.set(first, n);
    if (!joins_before && !joins_behind) ++state.unmapped_runs;
    if (joins_before && joins_behind) --state.unmapped_runs;
}

}  // namespace lanes::ground
