// A plugin whose thread_local objects outlive its dlclose.
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace {
struct state {
    std::vector<std::unique_ptr<std::string>> texts;
    ~state() {
        for (auto& text : texts) text = std::make_unique<std::string>(200, 'x');
    }
};
thread_local state of_thread;
std::vector<std::string> of_library(100, std::string(100, 'y'));
}  // namespace

extern "C" std::size_t plugin_use() {
    for (std::size_t i = 0; i < 50; ++i) of_thread.texts.push_back(std::make_unique<std::string>(i * 20, 'z'));
    of_library.emplace_back(300, 'w');
    return of_thread.texts.size();
}
