// Where the counters lie until a shared slot takes over.
#include "base/stats_page.hpp"

namespace lanes::base {
namespace {
alignas(64) constinit process_stats private_stats{};
}
constinit process_stats* stats = &private_stats;
}  // namespace lanes::base

// The same pointer under an exported name: where `lanes stats PID` finds the counters of a running process.
extern "C" [[gnu::visibility("default")]] lanes::base::process_stats* lanes_stats_page
    __attribute__((alias("_ZN5lanes4base5statsE")));
