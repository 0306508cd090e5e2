// Built with -fsanitize=address; the loader driver preloads the allocator into it.
#include <cstdio>
#include <string>
#include <vector>

int main() {
    std::vector<std::string> texts;
    for (int i = 0; i < 10000; ++i) texts.push_back(std::to_string(i) + " is a number with a long text behind it");
    std::size_t sum = 0;
    for (const auto& text : texts) sum += text.size();
    std::printf("sum %zu\n", sum);
    return sum == 428890 ? 0 : 1;
}
