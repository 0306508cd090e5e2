// Where and when something is measured.
#include "tools/compare/measure/machine.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <sys/utsname.h>
#include <time.h>

#include "tools/support/file.hpp"
#include "tools/support/strings.hpp"

namespace lanes::compare {
namespace {

std::string os_release_value(const std::vector<std::string>& lines, std::string_view name) {
    for (std::string_view line : lines) {
        if (!line.starts_with(name) || line.size() <= name.size() || line[name.size()] != '=') continue;
        line.remove_prefix(name.size() + 1);
        if (line.size() >= 2 && line.front() == '"') line = line.substr(1, line.size() - 2);
        return std::string(line);
    }
    return {};
}

std::string distribution() {
    auto file = tool::open_for_reading("/etc/os-release");
    if (!file) return {};
    auto lines = tool::split(tool::read_all(file, 64 << 10), '\n');
    // "Debian GNU/Linux"
    std::string name = os_release_value(lines, "NAME");
    name = name.substr(0, name.find(' '));
    std::string version = os_release_value(lines, "VERSION_ID");
    return version.empty() ? name : fmt::format("{} {}", name, version);
}

}  // namespace

std::string date_now() {
    time_t now = time(nullptr);
    tm parts{};
    gmtime_r(&now, &parts);
    char text[sizeof "2000-01-01T00:00:00Z"];
    strftime(text, sizeof text, "%FT%TZ", &parts);
    return text;
}

std::string machine_text() {
    utsname names{};
    uname(&names);
    cpu_set_t allowed;
    int processors = sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 0;
    std::string release = names.release;
    release = release.substr(0, release.find('.', release.find('.') + 1));
    std::string text = fmt::format("{}, {} processor{}, {} {}", names.machine, processors, processors == 1 ? "" : "s",
                                   names.sysname, release);
    auto system = distribution();
    return system.empty() ? text : fmt::format("{}, {}", text, system);
}

}  // namespace lanes::compare
