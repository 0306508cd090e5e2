// The `lanes` command: reads the command line and calls the subcommand.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstring>
#include <string>
#include <vector>

#include "tools/lanes/commands.hpp"
#include "tools/lanes/failure.hpp"

namespace {

using namespace lanes::tool;

constexpr const char* about =
    "lanes: a memory allocator that programs run on without being changed.\n"
    "This command starts programs on lanes and shows what it does in them.\n";

constexpr const char* examples =
    "Examples:\n"
    "  lanes run --summary -- redis-server     run it on lanes, then say what it used\n"
    "  lanes run --require -- ./server         the same, but fail (exit code 3) if lanes did not take effect\n"
    "  lanes doctor python3                    would lanes work there? if not, why not?\n"
    "  lanes doctor 1234                       is it active in process 1234?\n"
    "  lanes stats 1234                        the counters of process 1234, with their meaning\n"
    "  lanes options                           what can be set, and what is set here\n"
    "\n"
    "Without this command: LD_PRELOAD=liblanes_malloc.so your-command (with its full path unless it is installed)\n"
    "To turn lanes off in a program that has it: LANES_DISABLE=1\n";

constexpr const char* run_notes =
    "The library is put in front of LD_PRELOAD; what was there is kept. It is looked for in $LANES_LIB, beside this\n"
    "command, and where it was installed. Signals are passed on to the command.\n"
    "\n"
    "Exit code: that of the command; 128 + n if signal n ended it; 3 if --require was given and the command did not "
    "run on\n"
    "lanes; 125 if lanes run itself failed; 126 if the command cannot be run; 127 if there is no such command.\n";

constexpr const char* doctor_notes =
    "A number is a process, anything else a command, found as the shell finds it; for a script, its interpreter is "
    "looked\n"
    "at (for a command with a number as its name, write ./1234).\n"
    "\n"
    "Exit code: 0 if lanes is or would be active, 1 if not, 2 if there is no such command or process.\n";

constexpr const char* stats_notes =
    "A number is a process; anything else is a statistics file, such as LANES_STATS names in a program that `lanes "
    "run`\n"
    "started. The process goes on undisturbed. Byte counts in JSON are bytes.\n";

// The index of the command in `lanes run [options] [--] command ...`, and argc if there is none. What follows belongs
// to the command alone, even where it looks like an option of ours. (All options of `run` are flags; one with a value
// of its own would have to be known here.)
int command_start(int argc, char** argv) {
    for (int i = 2; i < argc; ++i) {
        if (std::strcmp(argv[i], "--") == 0) return i + 1;
        if (argv[i][0] != '-') return i;
    }
    return argc;
}

int run_command_line(int argc, char** argv) {
    CLI::App app(about, "lanes");
    app.set_version_flag("--version", "lanes " LANES_VERSION);
    app.set_help_flag("-h,--help", "print this help and leave");
    app.footer(examples);
    app.require_subcommand(1);

    run_options options;
    auto* run_app = app.add_subcommand("run", "run a command on lanes");
    run_app->add_flag("--summary", options.summary, "when it is over, print what it used to stderr");
    run_app->add_flag("--require", options.require, "exit code 3 if it did not run on lanes");
    // Only for the help text: main cuts the command off before this parser sees it.
    run_app->add_option("command", "the command and its arguments, behind --");
    run_app->footer(run_notes);

    std::string doctor_subject;
    auto* doctor_app = app.add_subcommand("doctor", "say whether lanes is or would be active, and why");
    doctor_app->add_option("command|pid", doctor_subject, "a command or a process id")->required();
    doctor_app->footer(doctor_notes);

    bool json = false;
    auto* options_app = app.add_subcommand("options", "list what can be set, with the values in this environment");
    options_app->add_flag("--json", json, "for programs");

    std::string stats_subject;
    auto* stats_app = app.add_subcommand("stats", "print the counters of a process or of a statistics file");
    stats_app->add_option("pid|file", stats_subject, "a process id or a statistics file")->required();
    stats_app->add_flag("--json", json, "for programs");
    stats_app->footer(stats_notes);

    bool is_run = argc > 1 && std::strcmp(argv[1], "run") == 0;
    int start = is_run ? command_start(argc, argv) : argc;
    std::vector<std::string> command(argv + start, argv + argc);
    int ours = start;
    if (is_run && start > 2 && std::strcmp(argv[start - 1], "--") == 0) ours = start - 1;

    try {
        app.parse(ours, argv);
    } catch (const CLI::CallForVersion& version) {
        return app.exit(version);
    } catch (const CLI::CallForHelp& help) {
        return app.exit(help);
    } catch (const CLI::ParseError& error) {
        throw failure(is_run ? exit_code::run_failed : exit_code::bad_input,
                      fmt::format("{}; `lanes{} --help` shows how", error.what(), is_run ? " run" : ""));
    }
    if (run_app->parsed()) {
        if (command.empty()) {
            throw failure(exit_code::run_failed, "no command was given; write it behind: lanes run -- your-command");
        }
        return run(options, command);
    }
    if (doctor_app->parsed()) return doctor(doctor_subject);
    if (options_app->parsed()) return list_options(json);
    return stats(stats_subject, json);
}

}  // namespace

int main(int argc, char** argv) {
    std::string name = argc > 1 && argv[1][0] != '-' ? fmt::format("lanes {}", argv[1]) : "lanes";
    try {
        return run_command_line(argc, argv);
    } catch (const failure& problem) {
        fmt::print(stderr, "{}: {}\n", name, problem.what());
        return problem.exit_code();
    } catch (const std::exception& problem) {
        fmt::print(stderr, "{}: {}\n", name, problem.what());
        return exit_code::run_failed;
    }
}
