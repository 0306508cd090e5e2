// Scratch memory for the scope of a call: two pieces of 4 KiB, or eight of 64 bytes, in nanoseconds a frame.
#include <memory_resource>

#include "contest.hpp"
#include "lanes/frame.hpp"
#include "lanes/owned_highway.hpp"

using namespace contest;

namespace {

// What a frame may cost at least: a buffer, a pointer into it that is set back, and no question whether there is room.
class raw_stack {
  public:
    class scope {
      public:
        explicit scope(raw_stack& stack) : stack_(stack), mark_(stack.top_) {}
        ~scope() { stack_.top_ = mark_; }
        scope(const scope&) = delete;
        void* allocate(u64 bytes) {
            unsigned char* at = stack_.top_;
            stack_.top_ = at + ((bytes + 15) & ~u64{15});
            return at;
        }

      private:
        raw_stack& stack_;
        unsigned char* mark_;
    };

  private:
    off_heap<unsigned char> buffer_{1 << 20};
    unsigned char* top_ = buffer_.begin();
};

class scratch_scopes {
  public:
    class scope {
      public:
        explicit scope(scratch_scopes& from) : scratch_(from.highway_) {}
        void* allocate(u64 bytes) { return scratch_.allocate_bytes(bytes); }

      private:
        lanes::scratch scratch_;
    };

  private:
    lanes::owned_highway highway_;
};

class frames_as_resources {
  public:
    class scope {
      public:
        explicit scope(frames_as_resources& from) : frame_(from.highway_) {}
        void* allocate(u64 bytes) { return resource_->allocate(bytes, 16); }

      private:
        lanes::frame frame_;
        std::pmr::memory_resource* resource_ = opaque<std::pmr::memory_resource>(&frame_);
    };

  private:
    lanes::owned_highway highway_;
};

class monotonic_a_frame {
  public:
    class scope {
      public:
        explicit scope(monotonic_a_frame& from) : arena_(from.buffer_.begin(), from.buffer_.size()) {}
        void* allocate(u64 bytes) { return arena_.allocate(bytes, 16); }

      private:
        std::pmr::monotonic_buffer_resource arena_;
    };

  private:
    off_heap<unsigned char> buffer_{1 << 20};
};

template <class Memory>
u64 time_of(Memory& memory, u64 frames, u64 pieces, u64 bytes, u64& sum) {
    u64 begin = thread_ns();
    for (u64 i = 0; i < frames; i++) {
        typename Memory::scope scratch(memory);
        for (u64 j = 0; j < pieces; j++) {
            auto* piece = static_cast<unsigned char*>(scratch.allocate(bytes));
            mark(piece, bytes, static_cast<std::uint32_t>(i + j));
            sum += opaque(piece)[bytes - 1];
        }
    }
    return thread_ns() - begin;
}

template <class Memory>
void run(parameters& given) {
    const u64 frames = given.get("operations", 100'000);
    const u64 times = given.get("times", 20);
    Memory made;
    Memory& memory = *opaque(&made);  // its state lies in memory, as that of any allocator does
    u64 sum = 0, large = 0, small = 0;
    for (u64 time = 0; time < times; time++) {
        large += time_of(memory, frames, 2, 4096, sum);
        small += time_of(memory, frames, 8, 64, sum);
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
