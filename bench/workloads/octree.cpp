// Bodies in space that attract each other, in the shape of Barnes and Hut's simulation: each step builds an octree cell
// by cell, sums up the masses in it, moves the bodies, and tears the tree down.
#include <memory>
#include <vector>

#include "workload.hpp"

using namespace workload;

namespace {

constexpr std::int64_t space = 1 << 20;  // coordinates are in [0, space)

struct body {
    std::int64_t at[3];
    std::int64_t speed[3];
    std::int64_t mass;
};

struct cell {
    std::int64_t corner[3];
    std::int64_t width;
    std::int64_t mass = 0;
    std::int64_t moment[3] = {0, 0, 0};
    std::unique_ptr<cell> children[8];
    const body* single = nullptr;  // a leaf holds one body
    bool leaf = true;
};

std::unique_ptr<cell> make_cell(const std::int64_t (&corner)[3], std::int64_t width) {
    auto made = std::make_unique<cell>();
    for (int axis = 0; axis < 3; axis++) made->corner[axis] = corner[axis];
    made->width = width;
    return made;
}

void insert(cell& into, const body& added);

void insert_below(cell& parent, const body& added) {
    std::int64_t half = parent.width / 2, corner[3];
    unsigned octant = 0;
    for (unsigned axis = 0; axis < 3; axis++) {
        bool upper = added.at[axis] >= parent.corner[axis] + half;
        corner[axis] = parent.corner[axis] + (upper ? half : 0);
        octant |= upper ? 1U << axis : 0U;
    }
    if (parent.children[octant] == nullptr) parent.children[octant] = make_cell(corner, half);
    insert(*parent.children[octant], added);
}

void insert(cell& into, const body& added) {
    if (into.leaf && into.single == nullptr) {
        into.single = &added;
        return;
    }
    if (into.width <= 1) return;  // two bodies in one place: the second one has no weight
    if (into.leaf) {
        into.leaf = false;
        insert_below(into, *into.single);
        into.single = nullptr;
    }
    insert_below(into, added);
}

void sum_up(cell& of) {
    if (of.leaf) {
        of.mass = of.single->mass;
        for (int axis = 0; axis < 3; axis++) of.moment[axis] = of.single->at[axis] * of.mass;
        return;
    }
    for (auto& child : of.children) {
        if (child == nullptr) continue;
        sum_up(*child);
        of.mass += child->mass;
        for (int axis = 0; axis < 3; axis++) of.moment[axis] += child->moment[axis];
    }
}

// Only the coarse cells pull: the tree is the work here, not the physics.
void pull(body& moved, const cell& by, int depth) {
    if (depth > 0 && !by.leaf) {
        for (const auto& child : by.children) {
            if (child != nullptr) pull(moved, *child, depth - 1);
        }
        return;
    }
    for (int axis = 0; axis < 3; axis++) {
        std::int64_t distance = by.moment[axis] / by.mass - moved.at[axis];
        moved.speed[axis] += distance * by.mass / (space * 64);
    }
}

void move(body& moved) {
    for (int axis = 0; axis < 3; axis++) {
        moved.at[axis] += moved.speed[axis];
        if (moved.at[axis] >= 0 && moved.at[axis] < space) continue;
        moved.at[axis] = moved.at[axis] < 0 ? 0 : space - 1;
        moved.speed[axis] = -moved.speed[axis] / 2;
    }
}

}  // namespace

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 steps = given.get("operations", 20);
    const u64 count = given.get("bodies", 20000);
    random_numbers numbers(47);
    std::vector<body> bodies(count);
    for (body& made : bodies) {
        for (int axis = 0; axis < 3; axis++) {
            made.at[axis] = static_cast<std::int64_t>(numbers.below(space) + numbers.below(space)) / 2;
            made.speed[axis] = static_cast<std::int64_t>(numbers.below(2000)) - 1000;
        }
        made.mass = static_cast<std::int64_t>(numbers.between(1, 100));
    }
    for (u64 step = 0; step < steps; step++) {
        std::unique_ptr<cell> root = make_cell({0, 0, 0}, space);
        for (const body& added : bodies) insert(*root, added);
        sum_up(*root);
        for (body& moved : bodies) {
            pull(moved, *root, 1);
            move(moved);
        }
    }
    u64 sum = 0;
    for (const body& left : bodies) sum += static_cast<u64>(left.at[0] ^ left.at[1] * 3 ^ left.at[2] * 7);
    report(steps * count, sum);
}
