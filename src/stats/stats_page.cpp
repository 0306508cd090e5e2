// Where the counters lie until a shared slot takes over.
#include "stats/stats_page.hpp"

namespace lanes::stats {
namespace {
alignas(64) constinit process_stats private_stats{};
}
constinit process_stats* page = &private_stats;
}  // namespace lanes::stats

// The same pointer under an exported name: where `lanes stats PID` finds the counters of a running process.
extern "C" [[gnu::visibility("default")]] lanes::stats::process_stats* lanes_stats_page
    __attribute__((alias("_ZN5lanes5stats4pageE")));
