// A long-running server with two lifetimes: requests that allocate and drop a few dozen objects, and sessions that
// stay.
#include <string>
#include <vector>

#include "workload.hpp"

using namespace workload;

namespace {

struct session {
    std::string user;
    std::vector<std::string> history;
};

}  // namespace

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 requests = given.get("operations", 300000);
    const u64 sessions = given.get("sessions", 3000);
    random_numbers numbers(31);
    std::vector<session*> open(sessions);
    u64 sum = 0;
    for (u64 request = 0; request < requests; request++) {
        std::vector<std::string> headers;
        for (u64 i = numbers.between(4, 16); i > 0; i--) headers.emplace_back(numbers.between(8, 120), 'h');
        block body = make_block(numbers.between(64, 8192), request);
        session*& chosen = open[numbers.below(sessions)];
        if (chosen == nullptr) {
            chosen = new session;
            chosen->user.assign(numbers.between(10, 40), 'u');
        }
        chosen->history.push_back(headers.back());
        std::string answer = chosen->user;
        for (const std::string& header : headers) answer += header;
        sum += answer.size();
        sum += drop_block(body);
        if (chosen->history.size() > 40) {
            delete chosen;
            chosen = nullptr;
        }
    }
    for (session* left : open) delete left;
    report(requests, sum);
}
