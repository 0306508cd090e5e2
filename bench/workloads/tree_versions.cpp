// A search tree that is never changed in place, as functional languages keep their maps: an insertion copies the path
// from the root and shares the rest, and a version lives as long as it is referenced. Some versions are kept for long.
#include <utility>

#include "workload.hpp"

using namespace workload;

namespace {

struct node {
    u64 references;
    u64 key;
    u64 value;
    const node* left;
    const node* right;
};

const node* share(const node* shared) {
    if (shared != nullptr) const_cast<node*>(shared)->references++;
    return shared;
}

void release(const node* old) {
    while (old != nullptr && --const_cast<node*>(old)->references == 0) {
        release(old->left);
        const node* right = old->right;
        delete old;
        old = right;
    }
}

const node* make(u64 key, u64 value, const node* left, const node* right) {
    return new node{1, key, value, left, right};
}

// Keys are mixed, so that a tree without balancing stays shallow.
u64 mixed(u64 key) { return key * 0x9e3779b97f4a7c15u; }

const node* inserted(const node* tree, u64 key, u64 value) {
    if (tree == nullptr) return make(key, value, nullptr, nullptr);
    if (mixed(key) < mixed(tree->key)) {
        return make(tree->key, tree->value, inserted(tree->left, key, value), share(tree->right));
    }
    if (mixed(key) > mixed(tree->key)) {
        return make(tree->key, tree->value, share(tree->left), inserted(tree->right, key, value));
    }
    return make(key, value, share(tree->left), share(tree->right));
}

u64 found(const node* tree, u64 key) {
    while (tree != nullptr && tree->key != key) tree = mixed(key) < mixed(tree->key) ? tree->left : tree->right;
    return tree != nullptr ? tree->value : 0;
}

}  // namespace

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 steps = given.get("operations", 500000);
    const u64 keys = given.get("keys", 20000);
    const u64 kept_versions = given.get("versions", 100);
    random_numbers numbers(53);
    off_heap<const node*> kept(kept_versions);
    const node* tree = nullptr;
    u64 sum = 0;
    for (u64 i = 0; i < steps; i++) {
        const node* next = inserted(tree, numbers.below(keys), i);
        release(std::exchange(tree, next));
        sum += found(tree, numbers.below(keys));
        if (i % 50 != 0) continue;
        const node*& slot = kept[numbers.below(kept_versions)];
        sum += found(slot, numbers.below(keys));
        release(std::exchange(slot, share(tree)));
    }
    for (const node* version : kept) release(version);
    release(tree);
    report(steps, sum);
}
