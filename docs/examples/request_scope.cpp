// A frame for each request: scratch memory that goes as a whole, while what escapes is counted by itself.
#include <cstring>
#include <deque>
#include <iostream>
#include <memory_resource>
#include <string>
#include <string_view>
#include <vector>

#include "expect.hpp"
#include "lanes/frame.hpp"

// Parses into scratch memory. The answer is a fragment of the highway, not of the frame: it outlives the request.
static lanes::fragment handle(lanes::owned_highway& highway, std::string_view request) {
    lanes::frame scratch(highway);
    std::pmr::vector<std::pmr::string> words(&scratch);
    while (!request.empty()) {
        std::size_t end = std::min(request.find(' '), request.size());
        words.emplace_back(request.substr(0, end));
        request.remove_prefix(std::min(end + 1, request.size()));
    }
    {
        lanes::frame inner(highway);  // frames nest as calls do
        auto* line = static_cast<char*>(inner.allocate_bytes(512));
        std::memset(line, ' ', 512);
    }
    lanes::fragment answer = highway.allocate(sizeof(std::size_t));
    answer.write(0, words.size());
    return answer;
}

int main() {
    lanes::owned_highway highway({.lane_bytes = 64 << 10});
    std::deque<lanes::fragment> answers;
    std::uint64_t held = 0;
    for (int i = 0; i < 10'000; ++i) {
        lanes::fragment answer =
            handle(highway, "a request of quite a few words, one of which is rather-longer-than-others");
        expect(answer.read<std::size_t>(0) == 12, "twelve words");
        if (i % 50 == 0) answers.push_back(std::move(answer));  // one in fifty lives on
        if (answers.size() > 20) answers.pop_front();           // for a while
        if (i == 5'000) held = highway.bytes_held();
    }
    std::cout << highway.trace() << '\n';
    expect(highway.total_live() == answers.size(), "scratch memory is gone with its frames");
    expect(highway.bytes_held() == held, "ten thousand requests need no more memory than five thousand");
}
