// Runs every attack: by default it must die by SIGABRT with one line "lanes: <what> of <pointer>: ..."; with
// LANES_ON_ERROR=warn it must survive and say the line, with ignore it must survive in silence.
// Usage: attack_driver CASES LIBRARY [name of one attack]
#include <sstream>

#include "spawn.hpp"

namespace {

using namespace conformance;

std::string cases, library;

outcome attack(const std::string& name, const std::string& on_error) {
    program p;
    p.command = {cases, name};
    p.environment = {"LD_PRELOAD=" + library};
    if (!on_error.empty()) p.environment.push_back("LANES_ON_ERROR=" + on_error);
    return run(p);
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
}

// The pointer the case has announced, or "" where any pointer will do.
std::string target_of(const outcome& o) {
    constexpr char word[] = "target ";
    auto at = o.out.find(word);
    if (at == std::string::npos) return "";
    auto pointer = o.out.substr(at + sizeof word - 1);
    pointer = pointer.substr(0, pointer.find('\n'));
    return pointer == "(nil)" ? "" : pointer;
}

// "lanes: <what> of <pointer>: <details>"
std::string fault_in_line(const std::string& line, const std::string& target) {
    if (line.rfind("lanes: ", 0) != 0) return "the line does not begin with lanes:";
    auto of = line.find(" of 0x");
    if (of == std::string::npos || line.find(": ", of) == std::string::npos)
        return "the line has not the form <what> of <pointer>: <details>";
    if (!target.empty() && line.find(" of " + target + ":") == std::string::npos)
        return "the line does not name " + target;
    return "";
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) return 2;
    cases = argv[1];
    library = argv[2];
    program list;
    list.command = {cases};
    std::vector<std::string> names = argc > 3 ? std::vector<std::string>{argv[3]} : lines_of(run(list).out);
    if (names.empty()) return 2;
    tally t;
    std::size_t stopped = 0;
    for (const std::string& name : names) {
        outcome o = attack(name, "");
        auto lines = lines_of(o.err);
        std::string fault = !o.killed_by(SIGABRT) ? "it was not stopped by an abort"
                            : lines.size() != 1   ? "stderr has not exactly one line"
                                                  : fault_in_line(lines[0], target_of(o));
        stopped += o.killed_by(SIGABRT);
        t.expect(fault.empty(), name, o, fault);

        o = attack(name, "warn");
        lines = lines_of(o.err);
        fault = !o.exited_with(0) ? o.exited_with(3) ? "memory was handed out twice" : "it did not survive"
                : lines.empty()   ? "there was no warning"
                                  : fault_in_line(lines[0], target_of(o));
        t.expect(fault.empty(), name + " [warn]", o, fault);

        o = attack(name, "ignore");
        fault = !o.exited_with(0) ? o.exited_with(3) ? "memory was handed out twice" : "it did not survive"
                : !o.err.empty()  ? "it was not silent"
                                  : "";
        t.expect(fault.empty(), name + " [ignore]", o, fault);
    }
    std::printf("%zu of %zu attacks were stopped by an abort\n", stopped, names.size());
    return t.exit_code();
}
