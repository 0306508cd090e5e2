// Text processing: lines are split into words, words are changed and joined again, lines are sorted and put together
// into pages. Strings of all lengths, most of them short-lived.
#include <algorithm>
#include <string>
#include <vector>

#include "workload.hpp"

using namespace workload;

namespace {

std::vector<std::string> split(const std::string& line) {
    std::vector<std::string> words;
    for (std::size_t at = 0; at < line.size();) {
        std::size_t end = std::min(line.find(' ', at), line.size());
        words.push_back(line.substr(at, end - at));
        at = end + 1;
    }
    return words;
}

std::string replaced(const std::string& word, char from, const std::string& by) {
    std::string made;
    for (char letter : word) {
        if (letter == from) {
            made += by;
        } else {
            made += letter;
        }
    }
    return made;
}

std::string joined(const std::vector<std::string>& parts, char separator) {
    std::string made;
    for (const std::string& part : parts) made += part + separator;
    return made;
}

}  // namespace

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 rounds = given.get("operations", 8);
    const u64 count = given.get("lines", 8000);
    random_numbers numbers(67);
    std::vector<std::string> text(count);
    for (std::string& line : text) {
        for (u64 words = numbers.between(3, 20); words > 0; words--) {
            for (u64 letters = numbers.between(2, 40); letters > 0; letters--) {
                line += static_cast<char>('a' + numbers.below(26));
            }
            if (words > 1) line += ' ';
        }
    }
    u64 sum = 0;
    for (u64 round = 0; round < rounds; round++) {
        std::vector<std::string> changed;
        for (const std::string& line : text) {
            std::vector<std::string> words = split(line);
            for (std::string& word : words) word = replaced(word, static_cast<char>('a' + round % 26), "<...>");
            std::sort(words.begin(), words.end());
            changed.push_back(joined(words, ' '));
        }
        std::sort(changed.begin(), changed.end());
        std::vector<std::string> pages(1);
        for (const std::string& line : changed) {
            if (pages.back().size() > 4000) pages.emplace_back();
            pages.back() += line + '\n';
        }
        std::string book = joined(pages, '\f');
        for (std::size_t i = 0; i < book.size(); i += 101) sum += static_cast<unsigned char>(book[i]) * i;
    }
    report(rounds * count, sum);
}
