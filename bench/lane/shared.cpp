// Threads that allocate from one place and release there: `held` blocks each, then all of them, again and again.
//
// The time is that of the clock on the wall: a thread that waits for a lock uses no processor.
#include <atomic>
#include <thread>

#include "../workloads/threads.hpp"
#include "lanes/highway.hpp"
#include "lanes/lane.hpp"
#include "sources.hpp"

using namespace contest;

namespace {

constexpr u64 max_held = 1024;

// One lane for all. It has room again when nothing in it is alive, so a thread that finds it full has to hold nothing.
class one_lane {
  public:
    explicit one_lane(parameters& given) : lane_(given.get("lane_bytes", 8 << 20)) {}
    class handle {
      public:
        bool try_allocate(one_lane& from, u64 bytes) {
            auto got = from.lane_.try_allocate(bytes);
            if (!got) {
                if (got.error() != lanes::errc::lane_full) got.value();
                return false;
            }
            held_ = std::move(*got);
            return true;
        }
        void free(one_lane&) { held_.release(); }
        void* data() const { return held_.data(); }

      private:
        lanes::fragment held_;
    };

  private:
    lanes::mapping_lane lane_;
};

class one_highway {
  public:
    explicit one_highway(parameters&) {}
    class handle {
      public:
        bool try_allocate(one_highway& from, u64 bytes) {
            held_ = from.highway_.allocate(bytes);
            return true;
        }
        void free(one_highway&) { held_.release(); }
        void* data() const { return held_.data(); }

      private:
        lanes::fragment held_;
    };

  private:
    lanes::mapping_highway highway_;
};

// Blocks of a std::pmr resource.
template <class Resource>
class resource_for_all {
  public:
    explicit resource_for_all(parameters&) {}
    class handle {
      public:
        bool try_allocate(resource_for_all& from, u64 bytes) {
            block_ = from.resource_->allocate(bytes, 16);
            bytes_ = bytes;
            return true;
        }
        void free(resource_for_all& from) { from.resource_->deallocate(block_, bytes_, 16); }
        void* data() const { return block_; }

      private:
        void* block_ = nullptr;
        u64 bytes_ = 0;
    };

  private:
    Resource made_;
    std::pmr::memory_resource* resource_ = opaque<std::pmr::memory_resource>(made_.get());
};

struct over_highway {
    lanes::mapping_highway highway;
    lanes::highway_resource resource{highway};
    lanes::highway_resource* get() { return &resource; }
};

struct synchronized_pool {
    std::pmr::synchronized_pool_resource pool;
    std::pmr::synchronized_pool_resource* get() { return &pool; }
};

struct malloc_for_all {
    explicit malloc_for_all(parameters&) {}
    class handle {
      public:
        bool try_allocate(malloc_for_all&, u64 bytes) {
            block_ = std::malloc(bytes);
            if (block_ == nullptr) std::abort();
            return true;
        }
        void free(malloc_for_all&) { std::free(block_); }
        void* data() const { return block_; }

      private:
        void* block_ = nullptr;
    };
};

template <class Place>
class worker {
  public:
    worker(Place& place, u64 held) : place_(place), held_(held), handles_(held) {}

    u64 run(drawn_sizes& sizes, u64 operations, u64 first) {
        u64 sum = 0, count = 0;
        for (u64 i = 0; i < operations; i++) {
            u64 size = sizes[first + i];
            while (!handles_[count].try_allocate(place_, size)) {
                sum += free_all(sizes, first + i - count, count);
                std::this_thread::yield();
            }
            mark(handles_[count].data(), size, static_cast<std::uint32_t>(first + i));
            if (++count == held_) sum += free_all(sizes, first + i + 1 - count, count);
        }
        return sum + free_all(sizes, first + operations - count, count);
    }

  private:
    u64 free_all(drawn_sizes& sizes, u64 first, u64& count) {
        u64 sum = 0;
        for (u64 i = 0; i < count; i++) {
            sum += verified(handles_[i].data(), sizes[first + i], static_cast<std::uint32_t>(first + i));
            handles_[i].free(place_);
        }
        count = 0;
        return sum;
    }

    Place& place_;
    u64 held_;
    table<typename Place::handle> handles_;
};

template <class Place>
void run(parameters& given) {
    const u64 threads = given.get("threads", 2);
    const u64 operations = given.get("operations", 4'000'000) / threads;
    const u64 held = std::clamp<u64>(given.get("held", 64), 1, max_held);
    drawn_sizes sizes(8, 512, 1);
    Place place(given);
    memory_watch memory;
    std::atomic<u64> ready{0}, cpu{0};
    std::atomic<u64> began{~u64{0}}, ended{0};
    auto note = [](std::atomic<u64>& extreme, u64 value, auto better) {
        for (u64 old = extreme; better(value, old) && !extreme.compare_exchange_weak(old, value);) {
        }
    };
    u64 sum = workload::sum_of_threads(threads, [&](u64 index) {
        worker<Place> work(place, held);
        ready++;
        while (ready < threads) std::this_thread::yield();
        note(began, wall_ns(), std::less<>());
        u64 cpu_before = thread_ns();
        u64 result = work.run(sizes, operations, index * operations);
        cpu += thread_ns() - cpu_before;
        note(ended, wall_ns(), std::greater<>());
        return result;
    });
    memory.print_peak();
    memory.print_now("settled_kib");
    print_per("total_ns", ended - began, operations * threads);
    print_per("cpu_ns", cpu, operations * threads);
    workload::report(operations * threads, sum);
}

}  // namespace

int main(int argc, char** argv) {
    return run_contender(argc, argv,
                         {{"lane", run<one_lane>},
                          {"highway", run<one_highway>},
                          {"highway_resource", run<resource_for_all<over_highway>>},
                          {"synchronized_pool", run<resource_for_all<synchronized_pool>>},
                          {"malloc", run<malloc_for_all>}});
}
