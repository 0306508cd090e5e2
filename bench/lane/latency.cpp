// Blocks of one byte that one thread allocates and another one frees.
//
// They are handed over through a plain array and a published index, so no queue is measured; and of both threads only
// the time in which they allocate and free. A hand-over is `batch` blocks.
#include <atomic>
#include <thread>

#include "contest.hpp"
#include "lanes/highway.hpp"
#include "lanes/owned_highway.hpp"
#include "lanes/owned_lane.hpp"
#include "sources.hpp"

using namespace contest;

namespace {

class fragments_of_a_lane {
  public:
    using handle = lanes::fragment;
    explicit fragments_of_a_lane(u64 count) : lane_(count * 16) {}
    handle allocate() { return lane_.allocate(1); }
    void free(handle& old) { old.release(); }
    void all_freed() { lane_.reset_if_empty(); }
    static unsigned char& byte_of(const handle& of) { return reinterpret_cast<unsigned char&>(*of.data()); }

  private:
    lanes::owned_mapping_lane lane_;
};

class fragments_of_a_highway {
  public:
    using handle = lanes::fragment;
    explicit fragments_of_a_highway(u64) {}
    handle allocate() { return highway_.allocate(1); }
    void free(handle& old) { old.release(); }
    void all_freed() {}
    static unsigned char& byte_of(const handle& of) { return reinterpret_cast<unsigned char&>(*of.data()); }

  private:
    lanes::mapping_highway highway_;
};

class blocks {
  public:
    using handle = void*;
    void all_freed() {}
    static unsigned char& byte_of(handle of) { return *static_cast<unsigned char*>(of); }
};

class blocks_of_an_owned_highway : public blocks {
  public:
    explicit blocks_of_an_owned_highway(u64) {}
    handle allocate() { return highway_.allocate_block(1); }
    void free(handle old) { highway_.free_block(old, 1); }

  private:
    lanes::owned_highway highway_;
};

class blocks_of_malloc : public blocks {
  public:
    explicit blocks_of_malloc(u64) {}
    handle allocate() {
        void* block = std::malloc(1);
        if (block == nullptr) std::abort();
        return block;
    }
    void free(handle old) { std::free(old); }
};

template <class Memory>
void run(parameters& given) {
    const u64 count = given.get("operations", 1'000'000);
    const u64 times = given.get("times", 5);
    const u64 batch = std::max<u64>(given.get("batch", 1000), 1);
    table<typename Memory::handle> handed(count);
    Memory memory(count);
    memory_watch watch;
    u64 sum = 0, allocating = 0, freeing = 0, wall = 0;
    for (u64 time = 0; time < times; time++) {
        std::atomic<u64> published{0};
        std::thread other([&] {
            u64 done = 0, took = 0;
            while (done < count) {
                u64 ready = published.load(std::memory_order_acquire);
                if (ready == done) {
                    std::this_thread::yield();
                    continue;
                }
                u64 begin = thread_ns();
                for (; done < ready; done++) {
                    u64 byte = Memory::byte_of(handed[done]);
                    if (byte != (done & 0xff)) corrupted();
                    sum += byte;
                    memory.free(handed[done]);
                }
                took += thread_ns() - begin;
            }
            freeing += took;
        });
        u64 wall_begin = wall_ns();
        for (u64 i = 0; i < count;) {
            u64 begin = thread_ns(), end = std::min(i + batch, count);
            for (; i < end; i++) {
                handed[i] = memory.allocate();
                Memory::byte_of(handed[i]) = static_cast<unsigned char>(i);
            }
            allocating += thread_ns() - begin;
            published.store(i, std::memory_order_release);
        }
        other.join();
        memory.all_freed();
        wall += wall_ns() - wall_begin;
    }
    watch.print_peak();
    watch.print_now("settled_kib");
    print_per("allocate_ns", allocating, count * times);
    print_per("free_ns", freeing, count * times);
    print_per("total_ns", allocating + freeing, count * times);
    print_per("wall_ns", wall, count * times);
    workload::report(count * times, sum);
}

}  // namespace

int main(int argc, char** argv) {
    return run_contender(argc, argv,
                         {{"owned_lane", run<fragments_of_a_lane>},
                          {"owned_highway", run<blocks_of_an_owned_highway>},
                          {"highway", run<fragments_of_a_highway>},
                          {"malloc", run<blocks_of_malloc>}});
}
