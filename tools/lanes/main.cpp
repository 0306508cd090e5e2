// The `lanes` command: reads the command line and calls the subcommand.
#include <fcntl.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "base/edit_distance.hpp"
#include "tools/lanes/commands.hpp"
#include "tools/lanes/help_texts.hpp"
#include "tools/support/failure.hpp"
#include "tools/support/text.hpp"

namespace {

using namespace lanes::tool;
namespace compare = lanes::compare;

using words = std::vector<std::string>;

// What is typed as `lanes NAME [options] [-- command ...]`.
struct subcommand {
    CLI::App* parser = nullptr;
    std::function<int(const words& command)> start;
    const char* usage = nullptr;           // how a command goes behind it; none: it takes no command
    int own_error = exit_code::bad_input;  // with which it ends when it was typed wrongly, or cannot print
    bool without_dashes = false;           // the command may begin without "--": at the first word that is no option
};

class command_line {
  public:
    command_line(int argc, char** argv) : typed_(argv, argv + argc) {
        app_.set_version_flag("--version", "lanes " LANES_VERSION);
        app_.set_help_flag("-h,--help", "print this help and leave");
        app_.footer(examples);
        app_.require_subcommand(1);
        add_run();
        add_doctor();
        add_options();
        add_stats();
        add_record();
        add_compare();
        add_bench();
    }

    // Runs what was typed; gives the exit code.
    int run() {
        const subcommand* wanted = named(first_word());
        std::string name = wanted != nullptr ? "lanes " + first_word() : "lanes";
        auto complain = [&](int code, const std::string& what) {
            std::fputs(fmt::format("{}: {}\n", name, what).c_str(), stderr);
            return code;
        };
        try {
            int code = parse_and_start();
            std::cout.flush();
            bool written = std::ferror(stdout) == 0 && !std::cout.fail();
            if (std::fclose(stdout) == 0 && written) return code;
        } catch (const failure& problem) {
            return complain(problem.exit_code(), problem.what());
        } catch (const std::exception& problem) {
            // fmt throws where a write fails.
            if (std::ferror(stdout) == 0 && std::ferror(stderr) == 0) {
                return complain(exit_code::run_failed, problem.what());
            }
        }
        return complain(own_error_of(wanted), fmt::format("cannot write the output: {}", std::strerror(errno)));
    }

  private:
    std::string first_word() const { return typed_.size() > 1 ? typed_[1] : ""; }

    int parse_and_start() {
        const subcommand* wanted = named(first_word());
        if (wanted == nullptr && !first_word().empty() && first_word()[0] != '-') refuse_command(first_word());
        bool takes_command = wanted != nullptr && wanted->usage != nullptr;
        std::size_t cut = takes_command ? command_start(*wanted) : typed_.size();
        words command(typed_.begin() + static_cast<std::ptrdiff_t>(cut), typed_.end());
        words ours(typed_.begin() + 1, typed_.end() - static_cast<std::ptrdiff_t>(command.size()));
        if (takes_command && ours.back() == "--") ours.pop_back();
        words reversed(ours.rbegin(), ours.rend());  // as CLI11 wants them
        try {
            app_.parse(std::move(reversed));
        } catch (const CLI::CallForVersion& version) {
            return app_.exit(version);
        } catch (const CLI::CallForHelp& help) {
            return app_.exit(help);
        } catch (const CLI::ParseError& error) {
            refuse_unknown_option(wanted, ours);
            refuse(wanted, error.what(), command.empty());
        }
        wanted = named(app_.get_subcommands().front()->get_name());
        if (wanted->usage != nullptr && command.empty()) {
            throw failure(wanted->own_error, fmt::format("no command was given; write it behind: {}", wanted->usage));
        }
        return wanted->start(command);
    }

    // Of the names, the one that was probably meant; empty if none is near.
    static std::string nearest(const std::string& typed, const words& names) {
        std::string best;
        std::size_t best_distance = (typed.size() + 1) / 2 + 1;  // half of it may be wrong
        for (const std::string& name : names) {
            std::size_t distance = lanes::base::edit_distance(typed.data(), typed.size(), name.data(), name.size());
            if (distance < best_distance) best_distance = distance, best = name;
        }
        return best;
    }

    static std::string suggestion(const std::string& typed, const words& names) {
        std::string meant = nearest(typed, names);
        return meant.empty() ? ";" : fmt::format("; did you mean '{}'?", meant);
    }

    [[noreturn]] void refuse_command(const std::string& typed) const {
        words names;
        for (const subcommand& one : subcommands_) names.push_back(one.parser->get_name());
        throw failure(exit_code::bad_input,
                      fmt::format("no command '{}'{} `lanes --help` lists them", typed, suggestion(typed, names)));
    }

    // Comes back if there is none.
    void refuse_unknown_option(const subcommand* wanted, const words& ours) const {
        const CLI::App* parser = wanted != nullptr ? wanted->parser : &app_;
        words names;
        for (const CLI::Option* option : parser->get_options()) {
            for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
        }
        bool command_begun = false;  // before the option: it may be the command's own
        for (std::size_t i = wanted != nullptr ? 1 : 0; i < ours.size(); ++i) {
            std::string typed = ours[i].substr(0, ours[i].find('='));
            if (!typed.starts_with("-")) {
                command_begun = wanted != nullptr && wanted->usage != nullptr;
                continue;
            }
            if (const CLI::Option* option = parser->get_option_no_throw(typed)) {
                if (takes_value(*option) && typed == ours[i]) ++i;
                continue;
            }
            throw failure(own_error_of(wanted),
                          fmt::format("no option '{}'{} {} lists them{}", typed, suggestion(typed, names),
                                      help_of(wanted), command_begun ? " (the command goes behind --)" : ""));
        }
    }

    static bool takes_value(const CLI::Option& option) { return option.get_items_expected_min() > 0; }

    // The index of the command in `lanes run [options] [--] command ...`, and past the end if there is none. What
    // follows belongs to the command alone, even where it looks like an option of ours.
    std::size_t command_start(const subcommand& of) const {
        for (std::size_t i = 2; i < typed_.size(); ++i) {
            if (typed_[i] == "--") return i + 1;
            if (!of.without_dashes) continue;
            if (typed_[i][0] != '-') return i;
            const CLI::Option* option = of.parser->get_option_no_throw(typed_[i]);
            if (option != nullptr && takes_value(*option)) ++i;  // its value
        }
        return typed_.size();
    }

    static int own_error_of(const subcommand* wanted) {
        return wanted != nullptr ? wanted->own_error : exit_code::bad_input;
    }

    static std::string help_of(const subcommand* wanted) {
        return fmt::format("`lanes{} --help`", wanted != nullptr ? " " + wanted->parser->get_name() : "");
    }

    [[noreturn]] static void refuse(const subcommand* wanted, const std::string& why, bool no_command) {
        bool needs_command = wanted != nullptr && wanted->usage != nullptr && no_command;
        throw failure(own_error_of(wanted), fmt::format("{}; {} shows how{}", why, help_of(wanted),
                                                        needs_command ? " (the command goes behind --)" : ""));
    }

    const subcommand* named(const std::string& name) const {
        for (const subcommand& one : subcommands_) {
            if (one.parser->get_name() == name) return &one;
        }
        return nullptr;
    }

    subcommand& add(const char* name, const char* description, const char* notes) {
        subcommands_.emplace_back().parser = app_.add_subcommand(name, description);
        subcommands_.back().parser->footer(notes);
        return subcommands_.back();
    }

    // A command behind the options; this parser never sees it, the option is for the help text.
    static void put_command_behind(subcommand& to, const char* usage) {
        to.usage = usage;
        to.parser->add_option("command", "the command and its arguments, behind --");
    }

    void add_run() {
        auto options = std::make_shared<run_options>();
        subcommand& run = add("run", "run a command on lanes", run_notes);
        auto summary =
            run.parser->add_flag("--summary", options->summary, "when it is over, print what it used to stderr");
        auto require = run.parser->add_flag("--require", options->require,
                                            "exit code 3 if the program that it ends as was not on lanes");
        run.parser
            ->add_flag("--exec", options->exec, "become the command: same process id, no process of lanes beside it")
            ->excludes(summary, require);
        run.parser->add_option("--stats-file", options->stats_file,
                               "keep its counters in this file, for `lanes stats`");
        put_command_behind(run, "lanes run -- your-command");
        run.own_error = exit_code::run_failed;
        run.without_dashes = true;
        run.start = [options](const words& command) { return lanes::tool::run(*options, command); };
    }

    void add_doctor() {
        auto subject = std::make_shared<std::string>();
        subcommand& doctor = add("doctor", "say whether lanes is or would be active, and why", doctor_notes);
        doctor.parser->add_option("command|pid", *subject, "a command or a process id")->required();
        doctor.start = [subject](const words&) { return lanes::tool::doctor(*subject); };
    }

    void add_options() {
        auto json = std::make_shared<bool>(false);
        auto markdown = std::make_shared<bool>(false);
        subcommand& options =
            add("options", "list what can be set, with the values in this environment", options_notes);
        auto json_flag = options.parser->add_flag("--json", *json, "for programs");
        options.parser->add_flag("--markdown", *markdown, "as docs/options.md: when to change which, without values")
            ->excludes(json_flag);
        options.start = [json, markdown](const words&) {
            return list_options(*json       ? options_format::json
                                : *markdown ? options_format::markdown
                                            : options_format::table);
        };
    }

    void add_stats() {
        auto json = std::make_shared<bool>(false);
        auto subject = std::make_shared<std::string>();
        subcommand& stats = add("stats", "print the numbers of a process or of a statistics file", stats_notes);
        stats.parser->footer(stats_notes + numbers_help());
        auto describe = std::make_shared<bool>(false);
        auto of = stats.parser->add_option("pid|file", *subject, "a process id or a statistics file");
        auto how = stats.parser->add_flag("--json", *json, "for programs");
        stats.parser->add_flag("--describe", *describe, "print what each number means, as docs/numbers.md, and leave")
            ->excludes(of)
            ->excludes(how);
        stats.start = [json, describe, subject](const words&) {
            if (*describe) return describe_numbers();
            if (subject->empty()) {
                throw failure(exit_code::bad_input, "pid|file is required; `lanes stats --help` shows how");
            }
            return lanes::tool::stats(*subject, *json);
        };
    }

    void add_record() {
        auto options = std::make_shared<record_options>();
        subcommand& record = add("record", "record a command's calls of malloc, to be replayed", record_notes);
        record.parser->add_option("--trace", options->trace, "the file to write")->required();
        record.parser
            ->add_option("--limit", options->limit,
                         "bytes on disk while recording, for each process, such as 500M (default 1G); what comes then "
                         "is left out")
            ->transform(CLI::AsSizeValue(false));
        record.parser->add_flag("--follow-forks", options->follow_forks, "also the processes that it starts");
        put_command_behind(record, "lanes record --trace FILE -- your-command");
        record.own_error = exit_code::run_failed;
        record.start = [options](const words& command) { return lanes::tool::record(*options, command); };
    }

    void add_compare() {
        auto options = std::make_shared<compare::comparison_options>();
        auto files = std::make_shared<report_files>();
        subcommand& compare = add("compare", "measure a command under lanes and under other allocators", compare_notes);
        add_measuring_options(compare.parser, *options, *files);
        compare.parser->add_flag("--same-output", options->same_output,
                                 "an allocator under which it prints something else has failed");
        compare.parser->add_flag("--ignore-exit-code", options->accept_any_exit_code,
                                 "the command may end with any exit code");
        auto* client =
            compare.parser->add_option("--client", options->client,
                                       "the command is a server: start it, give it the work of this command line, "
                                       "look at it, and end it");
        compare.parser
            ->add_option("--ready", options->ready,
                         "when the server may get its work: a TCP port or the path of a unix socket that it then "
                         "listens on, a text that it prints, or seconds, as in 2s (default: it listens on something)")
            ->needs(client);
        put_command_behind(compare, "lanes compare -- your-command its-arguments");
        compare.start = [options, files](const words& command) {
            return compare_allocators(*options, *files, command);
        };
    }

    void add_bench() {
        auto options = std::make_shared<compare::bench_options>();
        auto actions = std::make_shared<bench_actions>();
        auto files = std::make_shared<report_files>();
        subcommand& bench = add("bench", "run the programs that judge lanes, under lanes and its rivals", bench_notes);
        bench.parser->add_option("suite|row", options->wanted, "which of them; --list names them");
        add_measuring_options(bench.parser, *options, *files);
        bench.parser->add_flag("--quick", options->quick,
                               "short work, one round: shows that it works, its times mean nothing");
        bench.parser->add_flag("--list", actions->list, "name the suites and their rows");
        bench.parser->add_flag("--check", actions->check, "exit code 1 if a target is missed");
        bench.parser->add_option("--suites", options->suites, "a folder with manifests of your own");
        bench.parser
            ->add_option("--from", actions->from,
                         "show a JSON file of an earlier run instead of measuring; given again, the suites of that "
                         "file are put into the first")
            ->expected(1)
            ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
        bench.start = [options, actions, files, parser = bench.parser](const words&) {
            // The quick form tests the instrument and judges nothing; options that the user has given stay.
            if (options->quick && parser->count("--runs") == 0) options->rounds = 1;
            if (options->quick && parser->count("--hold") == 0) options->hold_s = 0.1;
            return lanes::tool::bench(*options, *actions, *files);
        };
    }

    void add_measuring_options(CLI::App* to, compare::measuring_options& options, report_files& files) const {
        options.made_by = command_text(without_folders());
        to->add_option("--with", options.with,
                       "what lanes is compared with, with commas (default: those installed of system, mimalloc, "
                       "jemalloc, tcmalloc); others as NAME=/path/to/library.so, with their version: "
                       "mimalloc-3.4.3=/path/to/library.so");
        to->add_flag("--no-lanes", options.no_lanes, "leave lanes out");
        to->add_option("--reference", options.reference,
                       "the allocator that ratios are given against (default: mimalloc)");
        to->add_option("--runs", options.rounds, "rounds that count (default 7; fewer than 6 give no interval)")
            ->check(CLI::Range(1, 1000));
        to->add_option("--hold", options.hold_s,
                       "seconds that a process is held at its end, to see what memory it keeps (default 1; 0: not at "
                       "all)")
            ->check(CLI::Range(0.0, 3600.0));
        to->add_option("--timeout", options.timeout_s,
                       "seconds that one run may take (default: ten times what the others took, at least 60; in bench, "
                       "the row's own)")
            ->check(CLI::Range(0.001, 1e6));
        to->add_flag("--quiet", options.quiet, "no progress on stderr");
        to->add_option("--json", files.json, "write all that was measured to this file, one row a line");
        to->add_option(
            "--markdown", files.markdown,
            "write a report to this file; of more than one row the first page, with all tables in FILE-full.md and a "
            "picture in FILE.svg beside it");
        to->add_option("--html", files.html, "write a page to this file");
    }

    // The command line as typed, with the files of our own options reduced to their names: reports show no path of this
    // machine.
    words without_folders() const {
        words shown = {"lanes"};
        bool ours = true;
        for (std::size_t i = 1; i < typed_.size(); ++i) {
            std::string word = typed_[i];
            ours = ours && word != "--";
            for (std::size_t start = 0; ours && start < word.size();) {
                std::size_t end = std::min(word.find_first_of(",=", start), word.size());
                std::size_t slash = word.rfind('/', end - 1);
                std::size_t folders = slash != std::string::npos && slash >= start ? slash + 1 - start : 0;
                word.erase(start, folders);
                start = end - folders + 1;
            }
            shown.push_back(word);
        }
        return shown;
    }

    CLI::App app_{about, "lanes"};
    words typed_;
    std::vector<subcommand> subcommands_;
};

// A descriptor below 3 that is closed would be the next file that is opened, and a child's input or output then.
void open_standard_descriptors() {
    for (int fd = 0; fd <= 2; ++fd) {
        if (fcntl(fd, F_GETFD) < 0) open("/dev/null", O_RDWR);
    }
}

}  // namespace

int main(int argc, char** argv) {
    open_standard_descriptors();
    return command_line(argc, argv).run();
}
