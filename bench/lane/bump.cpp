// Requests of 8 to 512 bytes that are released all at once, `batch` of them at a time.
//
// Allocation and release are reported apart, in nanoseconds a request. Contenders that can take a buffer get it
// beforehand, so that small batches touch no page for the first time.
#include <optional>

#include "contest.hpp"
#include "lanes/frame.hpp"
#include "lanes/owned_highway.hpp"
#include "lanes/owned_lane.hpp"
#include "sources.hpp"

using namespace contest;

namespace {

constexpr u64 min_size = 8, max_size = 512;

// A contender begins a batch, allocates, and ends it.
template <class Scope>
class scopes {
  public:
    explicit scopes(u64) {}
    void begin() { scope_.emplace(highway_); }
    void* allocate(u64 bytes) { return scope_->allocate_bytes(bytes); }
    void end() { scope_.reset(); }
    void give_back() { highway_.trim(); }

  protected:
    lanes::owned_highway highway_;
    std::optional<Scope> scope_;
};

class frames_as_resources : public scopes<lanes::frame> {
  public:
    using scopes::scopes;
    void begin() {
        scopes::begin();
        resource_ = opaque<std::pmr::memory_resource>(&*scope_);
    }
    void* allocate(u64 bytes) { return resource_->allocate(bytes, 16); }

  private:
    std::pmr::memory_resource* resource_ = nullptr;
};

// Fragments that go one by one, in order.
class lane_of_fragments {
  public:
    explicit lane_of_fragments(u64 batch) : lane_(batch * (max_size + 16)), held_(batch) {}
    void begin() { count_ = 0; }
    void* allocate(u64 bytes) {
        lanes::fragment& made = held_[count_++];
        made = lane_.allocate(bytes);
        return made.data();
    }
    void end() {
        for (u64 i = 0; i < count_; i++) held_[i].release();
    }
    void give_back() {
        if (lane_.live() != 0) corrupted();
        lane_.storage()->purge(0, lane_.capacity());
    }

  protected:
    lanes::owned_mapping_lane lane_;
    table<lanes::fragment> held_;
    u64 count_ = 0;
};

// One batch in a lane that is then reset by force: nothing is done for the fragments. (They count as orphans until they
// are released, so this is not for many batches.)
class forced_lane {
  public:
    explicit forced_lane(u64 batch) : lane_(batch * (max_size + 16)) {}
    void begin() {}
    void* allocate(u64 bytes) { return lane_.allocate(bytes).detach().data; }
    void end() { lane_.force_reset(); }
    void give_back() { lane_.storage()->purge(0, lane_.capacity()); }

  private:
    lanes::owned_mapping_lane lane_;
};

// The standard's arena over a buffer that is large enough: it never asks for more.
class monotonic {
  public:
    explicit monotonic(u64 batch)
        : buffer_(batch * (max_size + 16)), arena_(buffer_.begin(), buffer_.size(), std::pmr::null_memory_resource()) {}
    void begin() {}
    void* allocate(u64 bytes) { return arena_.allocate(bytes, 16); }
    void end() { arena_.release(); }
    void give_back() {}

  protected:
    off_heap<unsigned char> buffer_;
    std::pmr::monotonic_buffer_resource arena_;
};

class monotonic_as_resource : public monotonic {
  public:
    using monotonic::monotonic;
    void* allocate(u64 bytes) { return resource_->allocate(bytes, 16); }

  private:
    std::pmr::memory_resource* resource_ = opaque<std::pmr::memory_resource>(&arena_);
};

// The same as it is used mostly: it grows by blocks of malloc, and gives them back.
class growing_monotonic {
  public:
    explicit growing_monotonic(u64) {}
    void begin() {}
    void* allocate(u64 bytes) { return arena_.allocate(bytes, 16); }
    void end() { arena_.release(); }
    void give_back() {}

  private:
    std::pmr::monotonic_buffer_resource arena_;
};

template <class Arena>
void run(parameters& given) {
    const u64 operations = given.get("operations", 10'000'000);
    const u64 batch = std::min(given.get("batch", 10'000), operations);
    drawn_sizes sizes(min_size, max_size, 1);
    table<void*> blocks(batch);
    Arena arena(batch);
    memory_watch memory;
    u64 sum = 0, done = 0, allocating = 0, releasing = 0, max_releasing = 0;
    for (u64 first = 0; done < operations; first += 7919) {
        u64 count = std::min(batch, operations - done);
        u64 begin = thread_ns();
        arena.begin();
        for (u64 i = 0; i < count; i++) {
            u64 size = sizes[first + i];
            blocks[i] = arena.allocate(size);
            mark(blocks[i], size, static_cast<std::uint32_t>(i));
        }
        allocating += thread_ns() - begin;
        for (u64 i = 0; i < count; i++) sum += verified(blocks[i], sizes[first + i], static_cast<std::uint32_t>(i));
        begin = thread_ns();
        arena.end();
        u64 took = thread_ns() - begin;
        releasing += took;
        max_releasing = std::max(max_releasing, took);
        done += count;
    }
    memory.print_peak();
    memory.print_now("settled_kib");
    arena.give_back();
    memory.print_now("trimmed_kib");
    print_per("allocate_ns", allocating, done);
    print_per("release_ns", releasing, done);
    print_per("total_ns", allocating + releasing, done);
    print("most_release_us", static_cast<double>(max_releasing) / 1000);
    workload::report(done, sum);
}

}  // namespace

int main(int argc, char** argv) {
    return run_contender(argc, argv,
                         {{"scratch", run<scopes<lanes::scratch>>},
                          {"frame", run<frames_as_resources>},
                          {"owned_lane", run<lane_of_fragments>},
                          {"forced_lane", run<forced_lane>},
                          {"monotonic", run<monotonic>},
                          {"monotonic_resource", run<monotonic_as_resource>},
                          {"growing_monotonic", run<growing_monotonic>}});
}
