// Threads with a working set of their own, objects that they retain, and slots in which they exchange objects with one
// another; all of them end and start again several times (mstress' shape).
#include <atomic>

#include "threads.hpp"

using namespace workload;

namespace {

constexpr std::size_t transfer_slots = 1000;

// The first word says how many words there are, and the others depend on it.
u64* make_words(random_numbers& numbers) {
    u64 words = u64{1} << numbers.below(6);
    if (numbers.below(1000) == 0) {
        words *= 1000;
    } else if (numbers.below(100) == 0) {
        words *= 100;
    }
    words += numbers.below(words) + 1;
    auto* made = static_cast<u64*>(std::malloc(words * sizeof(u64)));
    if (made == nullptr) std::abort();
    made[0] = words;
    for (u64 i = 1; i < words; i++) made[i] = words ^ i;
    return made;
}

u64 drop_words(u64* old) {
    if (old == nullptr) return 0;
    u64 words = old[0];
    for (u64 i = 1; i < words; i++) {
        if (old[i] != (words ^ i)) corrupted();
    }
    std::free(old);
    return words;
}

u64 one_thread(u64 seed, u64 steps, u64 working_set, off_heap<std::atomic<u64*>>& transfers) {
    random_numbers numbers(seed);
    off_heap<u64*> data(working_set), retained(steps / 20 + 1);
    std::size_t retained_count = 0;
    u64 sum = 0;
    for (u64 i = 0; i < steps; i++) {
        u64*& slot = data[numbers.below(working_set)];
        u64 kind = numbers.below(100);
        if (kind < 5 && retained_count < retained.size()) {
            retained[retained_count++] = make_words(numbers);
        } else if (kind < 45) {
            sum += drop_words(slot);
            slot = nullptr;
        } else if (kind < 85) {
            sum += drop_words(slot);
            slot = make_words(numbers);
        } else {
            slot = transfers[numbers.below(transfer_slots)].exchange(slot, std::memory_order_acq_rel);
        }
    }
    for (u64* left : retained) sum += drop_words(left);
    for (u64* left : data) sum += drop_words(left);
    return sum;
}

}  // namespace

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 threads = given.get("threads", 4);
    const u64 steps = given.get("operations", 100000);  // per thread and generation
    const u64 generations = given.get("generations", 10);
    const u64 working_set = given.get("live", 3000);
    off_heap<std::atomic<u64*>> transfers(transfer_slots);
    u64 checksum = 0;
    for (u64 generation = 0; generation < generations; generation++) {
        checksum += sum_of_threads(
            threads, [&](u64 line) { return one_thread(generation * threads + line, steps, working_set, transfers); });
        if (generation % 3 != 2) continue;
        for (auto& left : transfers) checksum += drop_words(left.exchange(nullptr, std::memory_order_acq_rel));
    }
    for (auto& left : transfers) checksum += drop_words(left.load(std::memory_order_relaxed));
    report(threads * steps * generations, checksum);
}
