// Scratch memory for the scope of a call: two pieces of 4 KiB, or eight of 64 bytes, in nanoseconds a frame.
#include <concepts>
#include <memory_resource>

#include "contest.hpp"
#include "lanes/frame.hpp"
#include "lanes/owned_highway.hpp"

using namespace contest;

namespace {

// The lower bound: a buffer, a pointer into it that is set back, and no check for room.
class raw_stack {
  public:
    class scope {
      public:
        explicit scope(raw_stack& stack) : stack_(stack), mark_(stack.top_) {}
        [[gnu::always_inline]] ~scope() { stack_.top_ = mark_; }
        scope(const scope&) = delete;
        void* allocate_bytes(u64 bytes) {
            unsigned char* at = stack_.top_;
            stack_.top_ = at + ((bytes + 15) & ~u64{15});
            return at;
        }

      private:
        raw_stack& stack_;
        unsigned char* mark_;
    };
    scope open() { return scope(*this); }

  private:
    off_heap<unsigned char> buffer_{1 << 20};
    unsigned char* top_ = buffer_.begin();
};

class scratch_scopes {
  public:
    lanes::scratch open() { return lanes::scratch(highway_); }

  private:
    lanes::owned_highway highway_;
};

class frames_as_resources {
  public:
    lanes::frame open() { return lanes::frame(highway_); }

  private:
    lanes::owned_highway highway_;
};

class monotonic_a_frame {
  public:
    std::pmr::monotonic_buffer_resource open() {
        return std::pmr::monotonic_buffer_resource(buffer_.begin(), buffer_.size());
    }

  private:
    off_heap<unsigned char> buffer_{1 << 20};
};

// A resource is called through its table, a scope directly.
std::pmr::memory_resource& opened(std::pmr::memory_resource& scope) { return *opaque(&scope); }
template <class Scope>
requires(!std::derived_from<Scope, std::pmr::memory_resource>) Scope& opened(Scope& scope) { return scope; }
void* allocate(std::pmr::memory_resource& from, u64 bytes) { return from.allocate(bytes, 16); }
template <class Scope>
void* allocate(Scope& from, u64 bytes) {
    return from.allocate_bytes(bytes);
}

// A function of its own, without the clock: what something else needs in registers is not taken from this loop.
template <class Memory>
[[gnu::noinline]] u64 work(Memory& memory, u64 frames, u64 pieces, u64 bytes) {
    u64 sum = 0;
    for (u64 i = 0; i < frames; i++) {
        auto scope = memory.open();
        auto& from = opened(scope);
        for (u64 j = 0; j < pieces; j++) {
            auto* piece = static_cast<unsigned char*>(allocate(from, bytes));
            mark(piece, bytes, static_cast<std::uint32_t>(i + j));
            sum += opaque(piece)[bytes - 1];
        }
    }
    return sum;
}

template <class Memory>
void run(parameters& given) {
    const u64 frames = given.get("operations", 100'000);
    const u64 times = given.get("times", 20);
    Memory made;
    Memory& memory = *opaque(&made);  // its state lies in memory, as that of any allocator does
    u64 sum = 0, large = 0, small = 0;
    for (u64 time = 0; time < times; time++) {
        u64 begin = thread_ns();
        sum += work(memory, frames, 2, 4096);
        u64 between = thread_ns();
        sum += work(memory, frames, 8, 64);
        large += between - begin;
        small += thread_ns() - between;
    }
    print_per("large_ns", large, frames * times);
    print_per("small_ns", small, frames * times);
    workload::report(frames * times * 2, sum);
}

}  // namespace

int main(int argc, char** argv) {
    return run_contender(argc, argv,
                         {{"scratch", run<scratch_scopes>},
                          {"frame", run<frames_as_resources>},
                          {"raw", run<raw_stack>},
                          {"monotonic", run<monotonic_a_frame>}});
}
