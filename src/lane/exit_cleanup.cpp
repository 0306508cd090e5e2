// Highways that are still there when the process exits are disposed.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <vector>

#include "lane/highway_core.hpp"

namespace lanes::detail {
namespace {

struct exit_list {
    std::mutex mutex;
    std::vector<highway_core*> highways;

    static exit_list& instance() {
        // Never destroyed: static highways of the program may end after anything of ours.
        static exit_list* the = [] {
            auto* made = new exit_list;
            std::atexit([] { instance().dispose_all(); });
            existing.store(made, std::memory_order_release);
            return made;
        }();
        return *the;
    }
    // Null as long as no highway was ever listed.
    static inline std::atomic<exit_list*> existing{nullptr};

    void dispose_all() {
        std::lock_guard hold(mutex);
        for (highway_core* core : highways) core->dispose();
        highways.clear();
    }
};

}  // namespace

void dispose_at_exit(highway_core* core) {
    exit_list& list = exit_list::instance();
    std::lock_guard hold(list.mutex);
    list.highways.push_back(core);
}

void forget_at_exit(highway_core* core) noexcept {
    exit_list* list = exit_list::existing.load(std::memory_order_acquire);
    if (list == nullptr) return;
    std::lock_guard hold(list->mutex);
    std::erase(list->highways, core);
}

}  // namespace lanes::detail
