// A server of requests: tens of temporaries each, of which a few escape and are freed thousands of requests later.
//
// The latency of every request is taken, and memory at a tenth of the run and at its end: it has to be flat.
#include <optional>

#include "contest.hpp"
#include "lanes/owned_highway.hpp"
#include "lanes/scratch.hpp"
#include "sources.hpp"

using namespace contest;

namespace {

// A contender gives temporaries between begin() and end(). What escapes is made in place_for() and then kept, under
// another address if it has to move.
class scratch_a_request {
  public:
    using kept = lanes::fragment;
    void begin() { scratch_.emplace(highway_); }
    void* temporary(u64 bytes) { return scratch_->allocate_bytes(bytes); }
    kept place_for(u64 bytes) { return highway_.allocate(bytes); }
    static void* data(const kept& object) { return object.data(); }
    kept keep(kept object, u64) { return object; }
    void free(kept& object, u64) { object.release(); }
    void end() { scratch_.reset(); }

  private:
    lanes::owned_highway highway_;
    std::optional<lanes::scratch> scratch_;
};

// The same, but what escapes, whose lifetimes are mixed, goes to the process's heap.
class scratch_and_slots : public scratch_a_request {
  public:
    kept place_for(u64 bytes) { return lanes::slot(bytes).into_fragment(); }
};

// An arena for each request, over a buffer that is large enough for most; what escapes is copied into blocks of malloc.
class monotonic_a_request {
  public:
    using kept = void*;
    void begin() {}
    void* temporary(u64 bytes) { return arena_.allocate(bytes, 16); }
    kept place_for(u64 bytes) { return temporary(bytes); }
    static void* data(kept object) { return object; }
    kept keep(kept object, u64 bytes) {
        void* copy = std::malloc(bytes);
        if (copy == nullptr) std::abort();
        return std::memcpy(copy, object, bytes);
    }
    void free(kept object, u64) { std::free(object); }
    void end() { arena_.release(); }

  private:
    off_heap<unsigned char> buffer_{64 << 10};
    std::pmr::monotonic_buffer_resource arena_{buffer_.begin(), buffer_.size()};
};

// Every block by itself.
template <class Source>
class blocks_for_all {
  public:
    using kept = void*;
    void begin() { count_ = 0; }
    void* temporary(u64 bytes) {
        temporaries_[count_] = source_.allocate(bytes);
        sizes_[count_] = bytes;
        return temporaries_[count_++];
    }
    kept place_for(u64 bytes) { return source_.allocate(bytes); }
    static void* data(kept object) { return object; }
    kept keep(kept object, u64) { return object; }
    void free(kept object, u64 bytes) { source_.free(object, bytes); }
    void end() {
        while (count_ > 0) {
            count_--;
            source_.free(temporaries_[count_], sizes_[count_]);
        }
    }

  private:
    static inline char name_[] = "requests";
    static inline char* no_parameters_[] = {name_, nullptr};
    parameters none_{1, no_parameters_};
    Source source_{none_};
    void* temporaries_[64];
    u64 sizes_[64];
    std::size_t count_ = 0;
};

template <class Memory>
void run(parameters& given) {
    const u64 requests = given.get("operations", 1'000'000);
    const u64 kept = given.get("kept", 4096);
    const u64 escape_per_mille = given.get("escape_per_mille", 30);
    drawn_sizes sizes(8, 512, 1), counts(10, 50, 2), chances(0, 999, 3), slots(0, kept - 1, 4);
    struct escaped {
        typename Memory::kept object{};
        std::uint32_t size = 0, tag = 0;
    };
    table<escaped> escapees(kept);
    off_heap<std::uint32_t> latencies(requests);
    std::fill(latencies.begin(), latencies.end(), 1u);
    Memory memory;
    memory_watch watch;
    void* blocks[64];
    u64 sum = 0, drawn = 0, early_kib = 0, cpu = 0, cpu_begin = thread_ns();
    auto drop = [&](escaped& old) {
        if (old.size == 0) return;
        sum += verified(Memory::data(old.object), old.size, old.tag);
        memory.free(old.object, old.size);
        old.size = 0;
    };
    for (u64 request = 0; request < requests; request++) {
        if (request == requests / 10) {
            cpu += thread_ns() - cpu_begin;
            early_kib = resident_kib();
            cpu_begin = thread_ns();
        }
        u64 begin = wall_ns();
        u64 count = counts[request], temporaries = 0, first = drawn;
        std::uint32_t tag = static_cast<std::uint32_t>(request);
        memory.begin();
        for (u64 i = 0; i < count; i++, drawn++) {
            u64 size = sizes[drawn];
            if (chances[drawn * 3 + request] < escape_per_mille) {
                auto object = memory.place_for(size);
                mark(Memory::data(object), size, tag);
                escaped& slot = escapees[slots[drawn]];
                drop(slot);
                slot.object = memory.keep(std::move(object), size);
                slot.size = static_cast<std::uint32_t>(size);
                slot.tag = tag;
            } else {
                blocks[temporaries] = memory.temporary(size);
                mark(blocks[temporaries++], size, tag);
            }
        }
        u64 at = 0;
        for (u64 i = 0; i < count; i++) {
            if (chances[(first + i) * 3 + request] < escape_per_mille) continue;
            sum += verified(blocks[at++], sizes[first + i], tag);
        }
        memory.end();
        latencies[request] = static_cast<std::uint32_t>(std::min<u64>(wall_ns() - begin, 0xffffffffu));
    }
    cpu += thread_ns() - cpu_begin;
    u64 late_kib = resident_kib();
    for (u64 i = 0; i < kept; i++) drop(escapees[i]);
    watch.print_peak();
    watch.print_now("settled_kib");
    print("growth_kib", late_kib > early_kib ? static_cast<double>(late_kib - early_kib) : 0);
    print_per("total_ns", cpu, requests);
    auto percentile = [&](const char* name, u64 per_mille) {
        std::uint32_t* chosen = latencies.begin() + (requests - 1) * per_mille / 1000;
        std::nth_element(latencies.begin(), chosen, latencies.end());
        print(name, *chosen);
    };
    percentile("p50_ns", 500);
    percentile("p99_ns", 990);
    percentile("p999_ns", 999);
    workload::report(requests, sum);
}

}  // namespace

int main(int argc, char** argv) {
    return run_contender(argc, argv,
                         {{"scratch", run<scratch_a_request>},
                          {"scratch_slots", run<scratch_and_slots>},
                          {"owned_highway", run<blocks_for_all<owned_highway_source>>},
                          {"monotonic", run<monotonic_a_request>},
                          {"malloc", run<blocks_for_all<malloc_source>>}});
}
