// Tasks on their way through a pool of threads and back: closures and shared results, allocated by the thread that
// asks, filled in by the one that works, and freed by the last one to use them.
#include <functional>
#include <latch>
#include <memory>
#include <string>

#include "threads.hpp"

using namespace workload;

namespace {

using tasks = std::vector<std::function<void()>>;

// Takes tasks and gives them to its threads in handfuls, so that the work is more than the waking up.
class pool {
  public:
    explicit pool(u64 threads) {
        for (u64 i = 0; i < threads; i++) workers_.emplace_back([this] { work(); });
    }
    ~pool() {
        {
            std::scoped_lock guard(lock_);
            closed_ = true;
        }
        any_.notify_all();
        for (std::thread& worker : workers_) worker.join();
    }
    pool(const pool&) = delete;
    pool& operator=(const pool&) = delete;

    void ask(tasks asked) {
        {
            std::scoped_lock guard(lock_);
            for (auto& task : asked) waiting_.push_back(std::move(task));
        }
        any_.notify_all();
    }

  private:
    static constexpr std::size_t handful = 16;

    void work() {
        for (;;) {
            tasks taken;
            {
                std::unique_lock guard(lock_);
                any_.wait(guard, [&] { return closed_ || !waiting_.empty(); });
                if (waiting_.empty()) return;
                while (!waiting_.empty() && taken.size() < handful) {
                    taken.push_back(std::move(waiting_.front()));
                    waiting_.pop_front();
                }
            }
            for (auto& task : taken) task();
        }
    }

    std::mutex lock_;
    std::condition_variable any_;
    std::deque<std::function<void()>> waiting_;
    std::vector<std::thread> workers_;
    bool closed_ = false;
};

std::string answer_to(const std::vector<std::string>& words) {
    std::string made;
    for (const std::string& word : words) made += "<" + word + ">";
    return made;
}

}  // namespace

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 rounds = given.get("operations", 1500);
    const u64 threads = given.get("threads", 2);
    const u64 at_once = given.get("at_once", 1000);
    random_numbers numbers(73);
    u64 sum = 0;
    pool workers(threads);
    for (u64 round = 0; round < rounds; round++) {
        tasks asked;
        std::vector<std::shared_ptr<std::string>> answers;
        std::latch open(static_cast<std::ptrdiff_t>(at_once));
        for (u64 i = 0; i < at_once; i++) {
            auto answer = std::make_shared<std::string>();
            std::vector<std::string> words;
            for (u64 k = numbers.between(1, 12); k > 0; k--) words.emplace_back(numbers.between(4, 60), 'w');
            answers.push_back(answer);
            asked.emplace_back([answer, words = std::move(words), &open] {
                *answer = answer_to(words);
                open.count_down();
            });
        }
        workers.ask(std::move(asked));
        open.wait();
        for (const auto& answer : answers) sum += answer->size();
    }
    report(rounds * at_once, sum);
}
