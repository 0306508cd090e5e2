// All highways of the process: what they need to know of its fork and of its end.
#include "lane/highway_list.hpp"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <vector>

#include "lane/lane.hpp"

namespace lanes::detail {
namespace {

struct highway_list {
    ranked_mutex mutex{lock_rank::highways};
    std::vector<highway_core*> highways;

    static highway_list& instance() {
        // Never destroyed: static highways of the program may end after anything of ours.
        static highway_list* the = [] {
            auto* made = new highway_list;
            shared_core::know_fork();
            pthread_atfork([] { instance().lock(); }, [] { instance().unlock(false); },
                           [] { instance().unlock(true); });
            std::atexit([] { instance().dispose_all(); });
            existing.store(made, std::memory_order_release);  // pairs with the load in forget()
            return made;
        }();
        return *the;
    }
    // Null as long as no highway was ever listed.
    static inline std::atomic<highway_list*> existing{nullptr};

    void lock() {
        mutex.lock();
        for (highway_core* core : highways) core->lock_for_fork();
    }
    void unlock(bool in_child) {
        for (highway_core* core : highways) core->unlock_after_fork(in_child);
        mutex.unlock();
    }
    void dispose_all() {
        std::lock_guard hold(mutex);
        for (highway_core* core : highways) {
            if (core->options().cleanup_at_exit) core->dispose();
        }
    }
};

}  // namespace

void list_highway(highway_core* core) {
    highway_list& list = highway_list::instance();
    std::lock_guard hold(list.mutex);
    list.highways.push_back(core);
}

void forget_highway(highway_core* core) noexcept {
    highway_list* list = highway_list::existing.load(std::memory_order_acquire);
    if (list == nullptr) return;
    std::lock_guard hold(list->mutex);
    std::erase(list->highways, core);
}

}  // namespace lanes::detail
