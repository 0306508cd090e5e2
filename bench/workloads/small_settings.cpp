// A small command-line program: reads settings from text into maps, looks some up, formats an answer, starts again.
// Live data stays under 100 KiB.
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "workload.hpp"

using namespace workload;

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 rounds = given.get("operations", 1500);
    random_numbers numbers(37);
    std::string text;
    for (int i = 0; i < 300; i++) {
        text.append("section").append(std::to_string(numbers.below(20))).append(".name_").append(std::to_string(i));
        text.append(" = ").append(numbers.between(1, 50), 'v').append("\n");
    }
    u64 sum = 0;
    for (u64 round = 0; round < rounds; round++) {
        std::map<std::string, std::map<std::string, std::string>> sections;
        std::istringstream lines(text);
        for (std::string line; std::getline(lines, line);) {
            std::size_t dot = line.find('.'), equals = line.find(" = ");
            sections[line.substr(0, dot)][line.substr(dot + 1, equals - dot - 1)] = line.substr(equals + 3);
        }
        auto answer = std::make_unique<std::ostringstream>();
        for (const auto& [name, settings] : sections) *answer << name << ' ' << settings.size() << '\n';
        sum += answer->str().size() + sections.size();
    }
    report(rounds * 300, sum);
}
