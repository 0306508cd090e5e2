// Strings that double in length: each round fills the heap up to a bound with strings of one length and keeps every
// fourth of them, as a scripting language's buffers do.
#include <string>
#include <vector>

#include "workload.hpp"

using namespace workload;

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 repeats = given.get("operations", 4);
    const u64 bound = given.get("megabytes", 48) << 20;
    const u64 shortest = given.get("shortest", 32);
    const u64 longest = given.get("longest", 32768);

    u64 sum = 0, operations = 0;
    for (u64 repeat = 0; repeat < repeats; repeat++) {
        std::vector<std::string> kept;
        u64 kept_bytes = 0;
        for (u64 length = shortest; length <= longest && kept_bytes + length < bound; length *= 2) {
            std::vector<std::string> strings;
            for (u64 bytes = kept_bytes; bytes + length <= bound; bytes += length) {
                strings.emplace_back(length, static_cast<char>('a' + strings.size() % 26));
                operations++;
            }
            for (std::size_t i = 0; i < strings.size(); i++) {
                sum += static_cast<unsigned char>(strings[i][length / 2]);
                if (i % 4 != 0) continue;
                kept_bytes += length;
                kept.push_back(std::move(strings[i]));
            }
        }
        for (const std::string& string : kept) sum += string.size() + static_cast<unsigned char>(string.back());
    }
    report(operations, sum);
}
