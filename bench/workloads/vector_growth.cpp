// Many buffers that grow by realloc while others grow beside them: dynamic arrays, string builders, input buffers.
#include <vector>

#include "workload.hpp"

using namespace workload;

namespace {

struct buffer {
    unsigned char* bytes = nullptr;
    u64 used = 0;
    u64 capacity = 0;
};

void append(buffer& to, u64 count, unsigned char what, bool doubling) {
    if (to.used + count > to.capacity) {
        u64 wanted = doubling ? to.capacity * 2 : to.capacity + to.capacity / 8;
        to.capacity = wanted > to.used + count ? wanted : to.used + count + 16;
        to.bytes = static_cast<unsigned char*>(std::realloc(to.bytes, to.capacity));
        if (to.bytes == nullptr) std::abort();
    }
    std::memset(to.bytes + to.used, what, count);
    to.used += count;
}

}  // namespace

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 steps = given.get("operations", 6000000);
    const u64 count = given.get("buffers", 400);
    const u64 longest = given.get("longest", 2048) << 10;
    random_numbers numbers(23);
    std::vector<buffer> buffers(count);
    u64 sum = 0;
    for (u64 i = 0; i < steps; i++) {
        // Some buffers are appended to far more often than others.
        u64 index = numbers.below(count) * numbers.below(count) / count;
        buffer& chosen = buffers[index];
        append(chosen, numbers.between(1, 120), static_cast<unsigned char>(i), index % 2 == 0);
        if (chosen.used > longest || numbers.below(2000) == 0) {
            sum += chosen.used + chosen.bytes[chosen.used / 2] + chosen.bytes[0];
            std::free(chosen.bytes);
            chosen = buffer();
        }
    }
    for (buffer& left : buffers) {
        sum += left.used;
        std::free(left.bytes);
    }
    report(steps, sum);
}
