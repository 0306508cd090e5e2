// What /proc tells of the processes of a running command: their CPU time, their memory, where they listen.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace lanes::compare {

// All descendants of a process, without itself. Those of the launcher are the command and all that it has started:
// orphans among them come back to the launcher.
std::vector<pid_t> descendants_of(pid_t root);

// Seconds that these have used, and the children that they and `root` have waited for: so what a process that ends has
// used stays in it. Threads are in it; so are not children whose parent does not wait for them (SIGCHLD ignored).
double cpu_seconds(pid_t root, const std::vector<pid_t>& processes);

// The process with the largest peak RSS, and both of its numbers at one time.
struct process_memory {
    pid_t pid = 0;
    std::string name;
    double peak_rss_kib = 0;
    std::optional<double> rss_kib;  // nothing if it may not be read
};
std::optional<process_memory> largest_of(const std::vector<pid_t>& processes);

// A socket that waits for clients.
struct listener {
    unsigned port = 0;  // of TCP; 0: a unix socket
    std::string path;   // of a unix socket, as it was bound; "@name" for an abstract one
    unsigned long inode = 0;
    std::string text() const;  // "TCP port 6379", "unix socket /run/redis.sock"
};
// All that the network of this process has.
std::vector<listener> all_listeners();
// Those that one of the processes has open.
std::vector<listener> listeners_of(const std::vector<pid_t>& processes);

}  // namespace lanes::compare
