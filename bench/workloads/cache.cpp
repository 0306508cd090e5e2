// A cache of values under keys that forgets what was used least recently, bounded in bytes. The usual size of a value
// drifts, so that what is forgotten has another size than what is added.
#include <list>
#include <string>
#include <unordered_map>

#include "workload.hpp"

using namespace workload;

namespace {

struct entry {
    std::string key;
    std::string value;
};

class least_recently_used {
  public:
    explicit least_recently_used(u64 bound) : bound_(bound) {}

    const entry* find(const std::string& key) {
        auto found = by_key_.find(key);
        if (found == by_key_.end()) return nullptr;
        order_.splice(order_.begin(), order_, found->second);
        return &*found->second;
    }

    void add(std::string key, std::string value) {
        bytes_ += key.size() + value.size();
        order_.push_front({std::move(key), std::move(value)});
        by_key_[order_.front().key] = order_.begin();
        while (bytes_ > bound_) {
            const entry& oldest = order_.back();
            bytes_ -= oldest.key.size() + oldest.value.size();
            by_key_.erase(oldest.key);
            order_.pop_back();
        }
    }

  private:
    u64 bound_;
    u64 bytes_ = 0;
    std::list<entry> order_;
    std::unordered_map<std::string, std::list<entry>::iterator> by_key_;
};

}  // namespace

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 steps = given.get("operations", 1000000);
    const u64 bound = given.get("megabytes", 24) << 20;
    const u64 keys = given.get("keys", 200000);
    random_numbers numbers(71);
    least_recently_used cache(bound);
    u64 sum = 0;
    for (u64 i = 0; i < steps; i++) {
        u64 number = numbers.below(keys) * numbers.below(keys) / keys;
        std::string key = "user:" + std::to_string(number) + ":profile";
        if (const entry* hit = cache.find(key)) {
            sum += hit->value.size() + static_cast<unsigned char>(hit->value.front());
            continue;
        }
        // From 100 bytes to 1.6 KB and back, five times a run.
        u64 usual = u64{100} << (i * 10 / steps % 5);
        cache.add(std::move(key), std::string(numbers.between(usual / 2, usual * 2), static_cast<char>(i % 251 + 1)));
    }
    report(steps, sum);
}
