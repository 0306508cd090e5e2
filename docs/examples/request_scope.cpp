// A frame for each request: scratch memory that goes as a whole, while what escapes it lives as long as it is held.
#include <algorithm>
#include <cstring>
#include <deque>
#include <iostream>
#include <memory_resource>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "expect.hpp"
#include "lanes/fragment.hpp"
#include "lanes/frame.hpp"
#include "lanes/scratch.hpp"

// Where an answer that outlives its request is stored. It is a fragment in both cases, and is used in the same way.
enum class lives {
    briefly,  // on the highway, the cheapest: for what goes in about the order it came. One left behind keeps its lane.
    longer    // in a slot, which is a block of the process heap: for what lives long, each for a time of its own.
};

// Parses into scratch memory; the answer is allocated elsewhere.
static lanes::fragment handle(lanes::owned_highway& highway, std::string_view request, lives how) {
    lanes::frame frame(highway);  // a memory_resource, for containers
    std::pmr::vector<std::pmr::string> words(&frame);
    while (!request.empty()) {
        std::size_t end = std::min(request.find(' '), request.size());
        words.emplace_back(request.substr(0, end));
        request.remove_prefix(std::min(end + 1, request.size()));
    }
    {
        lanes::scratch inner(highway);  // bytes alone cost less so; scopes nest as calls do, and words cannot grow here
        auto* line = static_cast<char*>(inner.allocate_bytes(512));
        std::memset(line, ' ', 512);
    }
    lanes::fragment answer = how == lives::briefly ? highway.allocate(sizeof(std::size_t))
                                                   : lanes::slot(sizeof(std::size_t)).into_fragment();
    answer.write(0, words.size());
    return answer;
}

int main() {
    lanes::owned_highway highway({.lane_bytes = 64 << 10});
    std::deque<lanes::fragment> answers;   // the last twenty of those that live on for a while
    std::vector<lanes::fragment> archive;  // never shrinks
    std::uint64_t held = 0;
    for (int i = 0; i < 10'000; ++i) {
        bool archived = i % 100 == 0;
        lanes::fragment answer =
            handle(highway, "a request of quite a few words, one of which is rather-longer-than-others",
                   archived ? lives::longer : lives::briefly);
        expect(answer.read<std::size_t>(0) == 12, "twelve words");
        if (archived) {
            archive.push_back(std::move(answer));
        } else if (i % 50 == 0) {
            answers.push_back(std::move(answer));
            if (answers.size() > 20) answers.pop_front();
        }
        if (i == 5'000) held = highway.bytes_held();
    }
    std::cout << highway.trace() << '\n';
    expect(highway.total_live() == answers.size(), "scratch memory is gone with its frames, and slots lie elsewhere");
    expect(highway.bytes_held() == held, "ten thousand requests need no more memory than five thousand");
    expect(archive.size() == 100 && archive.front().type() == lanes::storage_type::slot, "a hundred blocks of a heap");
    expect(answers.front().type() == lanes::storage_type::mapping, "beside twenty fragments of the highway");
}
