// Where the blocks of contenders come from: allocate(bytes), free(block, bytes), and give_back(), which asks for memory
// that is kept for later to go back to the system.
#pragma once

#include <malloc.h>

#include <boost/pool/pool.hpp>
#include <memory_resource>

#include "contest.hpp"
#include "lanes/memory_resource.hpp"
#include "lanes/owned_highway.hpp"

namespace contest {

// malloc, of whatever is preloaded.
class malloc_source {
  public:
    explicit malloc_source(parameters&) {}
    void* allocate(u64 bytes) {
        void* block = std::malloc(bytes);
        if (block == nullptr) std::abort();
        return block;
    }
    void free(void* block, u64) { std::free(block); }
    void give_back() { malloc_trim(0); }
};

// A heap of mimalloc beside the process's own malloc: linked, the library would replace that.
class mimalloc_heap_source {
  public:
    explicit mimalloc_heap_source(parameters& given) {
        const char* path = given.text("mimalloc", "libmimalloc.so.2");
        void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (library == nullptr) {
            std::fprintf(stderr, "mi_heap: %s; mimalloc=PATH names the library\n", dlerror());
            std::exit(2);
        }
        auto find = [&](const char* name) {
            void* found = dlsym(library, name);
            if (found == nullptr) std::abort();
            return found;
        };
        allocate_ = reinterpret_cast<void* (*)(void*, std::size_t)>(find("mi_heap_malloc"));
        free_ = reinterpret_cast<void (*)(void*)>(find("mi_free"));
        collect_ = reinterpret_cast<void (*)(void*, bool)>(find("mi_heap_collect"));
        heap_ = reinterpret_cast<void* (*)()>(find("mi_heap_new"))();
        if (heap_ == nullptr) std::abort();
    }
    void* allocate(u64 bytes) {
        void* block = allocate_(heap_, bytes);
        if (block == nullptr) std::abort();
        return block;
    }
    void free(void* block, u64) { free_(block); }
    void give_back() { collect_(heap_, true); }

  private:
    void* (*allocate_)(void*, std::size_t);
    void (*free_)(void*);
    void (*collect_)(void*, bool);
    void* heap_;
};

// A std::pmr pool that is called as a container calls it.
class pool_source {
  public:
    explicit pool_source(parameters&) {}
    void* allocate(u64 bytes) { return resource_->allocate(bytes, 16); }
    void free(void* block, u64 bytes) { resource_->deallocate(block, bytes, 16); }
    void give_back() { pool_.release(); }

  private:
    std::pmr::unsynchronized_pool_resource pool_;
    std::pmr::memory_resource* resource_ = opaque(&pool_);
};

// boost::pool: blocks of one size.
class boost_pool_source {
  public:
    explicit boost_pool_source(parameters& given) : pool_(given.get("size", 0)) {}
    void* allocate(u64) {
        void* block = pool_.malloc();
        if (block == nullptr) std::abort();
        return block;
    }
    void free(void* block, u64) { pool_.free(block); }
    void give_back() { pool_.purge_memory(); }

  private:
    boost::pool<> pool_;
};

// A thread-owned highway, directly.
class owned_highway_source {
  public:
    explicit owned_highway_source(parameters&) {}
    void* allocate(u64 bytes) { return highway_.allocate_block(bytes); }
    void free(void* block, u64 bytes) { highway_.free_block(block, bytes); }
    void give_back() { highway_.trim(); }

  private:
    lanes::owned_highway highway_;
};

// The same as a std::pmr resource.
class owned_resource_source {
  public:
    explicit owned_resource_source(parameters&) {}
    void* allocate(u64 bytes) { return opaque_->allocate(bytes, 16); }
    void free(void* block, u64 bytes) { opaque_->deallocate(block, bytes, 16); }
    void give_back() { highway_.trim(); }

  private:
    lanes::owned_highway highway_;
    lanes::owned_resource resource_{highway_};
    std::pmr::memory_resource* opaque_ = opaque(&resource_);
};

}  // namespace contest
