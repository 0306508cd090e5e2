// Binary trees built and torn down: one long-lived tree, and many short-lived ones of several depths.
#include "workload.hpp"

using namespace workload;

namespace {

struct node {
    node* left;
    node* right;
};

node* build(u64 depth) {
    node* made = new node{nullptr, nullptr};
    if (depth > 0) {
        made->left = build(depth - 1);
        made->right = build(depth - 1);
    }
    return made;
}

u64 count_and_tear(node* tree) {
    u64 nodes = 1;
    if (tree->left != nullptr) nodes += count_and_tear(tree->left) + count_and_tear(tree->right);
    delete tree;
    return nodes;
}

}  // namespace

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 depth = given.get("depth", 16);
    const u64 rounds = given.get("operations", 40);
    node* long_lived = build(depth);
    u64 sum = 0;
    for (u64 round = 0; round < rounds; round++) {
        for (u64 d = 4; d <= depth; d += 2) {
            for (u64 i = 0; i < u64{1} << (depth - d); i++) sum += count_and_tear(build(d));
        }
    }
    sum += count_and_tear(long_lived);
    report(sum, sum);
}
