// C++ containers of strings: an ordered and an unordered map, vectors of strings that are sorted and copied.
#include <algorithm>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "workload.hpp"

using namespace workload;

namespace {

std::string word(random_numbers& numbers) {
    std::string made(numbers.between(3, 60), 'a');
    for (std::size_t i = 0; i < made.size() && i < 12; i++) made[i] = static_cast<char>('a' + numbers.below(26));
    return made;
}

}  // namespace

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 rounds = given.get("operations", 8);
    const u64 words = given.get("words", 50000);
    random_numbers numbers(3);
    u64 sum = 0;
    for (u64 round = 0; round < rounds; round++) {
        std::unordered_map<std::string, std::vector<std::string>> by_key;
        std::map<std::string, u64> ordered;
        std::vector<std::string> list;
        for (u64 i = 0; i < words; i++) {
            std::string key = word(numbers);
            by_key[key.substr(0, 3)].push_back(key);
            ordered[key]++;
            list.push_back(key + "/" + word(numbers));
            if (i % 3 == 2) {
                auto found = ordered.lower_bound(word(numbers));
                if (found != ordered.end()) ordered.erase(found);
            }
        }
        std::vector<std::string> copy = list;
        std::sort(copy.begin(), copy.end());
        for (const auto& [prefix, members] : by_key) sum += members.size() * static_cast<unsigned char>(prefix[0]);
        for (const auto& [key, count] : ordered) sum += key.size() * count;
        for (std::size_t i = 0; i < copy.size(); i += 97) sum += static_cast<unsigned char>(copy[i][0]) * i;
    }
    report(rounds * words, sum);
}
