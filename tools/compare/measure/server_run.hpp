// One run of a server: started through the launcher, given work by a client, looked at, and ended.
#pragma once

#include <functional>
#include <string>

#include "tools/compare/measure/measured_run.hpp"

namespace lanes::compare {

// When a server may get its work.
struct readiness {
    enum class kind { listens, port, socket, text, seconds };
    kind when = kind::listens;  // on anything
    unsigned port = 0;
    std::string text;  // the path of a unix socket, or what it prints
    double seconds = 0.0;
};

// Of --ready: digits are a port, what begins with /, ./ or ../ a unix socket, "2.5s" seconds; all else is a text that
// the server prints. Empty: it listens on something. Throws failure(bad_input) for a port that is none.
readiness parse_readiness(const std::string& text);

struct server_request {
    std::string client;  // a command line for sh
    readiness ready;
    double settle_s = 1.0;  // how long it is left alone after the work, before its memory is looked at
};

// The values are the client's wall time, and of the server the CPU time while the client ran (of all its processes) and
// the memory of its largest process after it: peak, and what is left after `settle_s`. The output is the client's.
// `request.timeout_s` limits the wait until it is ready, and the client. Interruption and failures are as with
// runner::run; a client that fails is a failure, too.
run_outcome run_server(const run_request& request, const server_request& server,
                       const tool::instrument_paths& instruments, interruption& stop,
                       const std::function<void()>& tick);

}  // namespace lanes::compare
