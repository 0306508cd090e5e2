// What the help of the `lanes` command says.
#pragma once

namespace lanes::tool {

inline constexpr const char* about =
    "lanes: a memory allocator that programs run on without being changed.\n"
    "This command starts programs on lanes and shows what it does in them.\n";

inline constexpr const char* examples =
    "Examples:\n"
    "  lanes run --summary -- redis-server     run it on lanes, then say what it used\n"
    "  lanes run --require -- ./server         the same, but fail (exit code 3) if lanes did not take effect\n"
    "  lanes run --exec -- ./server            become the server: nothing else stays, for systemd and containers\n"
    "  lanes doctor python3                    would lanes work there? if not, why not?\n"
    "  lanes doctor 1234                       is it active in process 1234?\n"
    "  lanes stats 1234                        the counters of process 1234, with their meaning\n"
    "  lanes options                           what can be set, and what is set here\n"
    "  lanes record --trace t.lt -- ./prog     its calls of malloc, to replay them on any allocator\n"
    "  lanes compare -- ./my-program           time and memory of it, beside other allocators\n"
    "  lanes bench --list                      the programs that judge lanes; `lanes bench` runs them\n"
    "\n"
    "Without this command: LD_PRELOAD=liblanes_malloc.so your-command (with its full path unless it is installed)\n"
    "To turn lanes off in a program that has it: LANES_DISABLE=1\n";

inline constexpr const char* run_notes =
    "The library is put in front of LD_PRELOAD; what was there is kept. It is looked for in $LANES_LIB, beside\n"
    "this command, and where it was installed. Signals are passed on to the command.\n"
    "\n"
    "--require is about the program that the command has turned into when it ends: behind wrappers that call exec\n"
    "(nice, env, chroot, a script's last `exec`), the one that they start. It is found by tracing the command with\n"
    "ptrace, so no debugger can attach to it meanwhile; new threads and signals take some microseconds more. Where\n"
    "ptrace is not permitted, or for a setuid program, nothing is run. What the command starts as processes of\n"
    "their own (sudo, timeout, a script without exec) is neither traced nor judged; --summary names those that it\n"
    "saw and that were not on lanes. It looks from time to time, so it misses short ones.\n"
    "\n"
    "--exec is for those who watch the process itself: systemd (also Type=notify), a container's process 1, a\n"
    "debugger. Nobody is left to print a summary or to check --require; signal mask and handlers stay as they were\n"
    "inherited. Counters end with the process unless --stats-file names a file, which stays (plain `lanes run` also\n"
    "keeps it). Each start puts a new file in its place. Without --exec, as process 1 of a container, lanes run takes\n"
    "in the orphans and passes on signals that the kernel would drop.\n"
    "\n"
    "Exit code: that of the command; 128 + n if signal n ended it; 3 if --require was given and the command did\n"
    "not run on lanes; 125 if lanes run itself failed; 126 if the command cannot be run; 127 if there is no such\n"
    "command.\n";

inline constexpr const char* doctor_notes =
    "A number is a process, anything else a command, found as the shell finds it; for a script, its interpreter\n"
    "is looked at (for a command with a number as its name, write ./1234). The number of a `lanes run` means the\n"
    "process that it started.\n"
    "\n"
    "Exit code: 0 if lanes is or would be active, 1 if not, 2 if there is no such command or process.\n";

inline constexpr const char* options_notes =
    "An option is a variable in the environment of the program. One that is misspelt or out of range is reported by\n"
    "the program once, and ignored. docs/options.md says when to change which.\n";

inline constexpr const char* stats_notes =
    "A number is a process; anything else is a statistics file, such as LANES_STATS names in a program that\n"
    "`lanes run` started. The number of a `lanes run` means the process that it started. The process goes on\n"
    "undisturbed. In JSON, byte counts are bytes; a number that is not exact is {\"at_least\", \"at_most\"}, one that\n"
    "is unknown is null.\n"
    "\n";

inline constexpr const char* compare_notes =
    "Allocators run interleaved, in rotating order, after a warm-up that does not count; what is compared is the\n"
    "median over the rounds. The command's standard input, if it is no terminal, is read once and given to every\n"
    "run; its output is not shown. Allocators are names (system, mimalloc, jemalloc, tcmalloc, snmalloc, ...),\n"
    "paths of shared libraries, or NAME=PATH. Ctrl-C ends it and shows what was finished.\n"
    "\n"
    "CPU time: user + system, of the command and all that it starts (not of children that nobody waits for). Wall\n"
    "time: from its start to its end. Peak RSS: of its largest single process, by the kernel. Settled RSS: of that\n"
    "same process, idle for --hold seconds at its end; unknown if it ends before the command does, as cc1plus\n"
    "before g++, or by a signal.\n"
    "\n"
    "A server:  lanes compare --client 'redis-benchmark -q -t set -n 100000' -- redis-server --save ''\n"
    "It is started under each allocator, gets the client's work once it is ready, and is ended by SIGTERM. Wall\n"
    "time: of the client. CPU time: of all processes of the server while the client ran. Peak and settled RSS: of\n"
    "its largest process, --hold seconds after the work. It has to stay in the foreground (nginx -g 'daemon off;').\n"
    "--timeout limits its start (default 60 s) and the client (default 600 s).\n"
    "\n"
    "Exit code: 0, also when some allocator fails; 1 if the command fails under every one; 2 for wrong usage,\n"
    "such as an allocator that is not there; 126 if the command cannot be run; 127 if there is no such command;\n"
    "130 after Ctrl-C.\n";

inline constexpr const char* record_notes =
    "Writes every call of malloc, calloc, realloc, free and the aligned ones, with its thread and its place in\n"
    "the order, to a file that the workload `replay` repeats on any allocator. Only the process that is started\n"
    "is recorded (also after an exec, then from there), or with --follow-forks all that it starts, to FILE.PID.\n"
    "Record on the system's malloc: an allocator with an operator new of its own keeps those calls to itself.\n"
    "\n"
    "Exit code: that of the command; 128 + n if signal n ended it; 3 if it could not be recorded; 125 if lanes\n"
    "record itself failed; 126 if the command cannot be run; 127 if there is no such command.\n";

inline constexpr const char* bench_notes =
    "Without names, all suites. A row whose program is not installed says which Debian package brings it.\n"
    "Everything is generated in a temporary folder, which is removed. Ctrl-C ends it and shows what was finished.\n"
    "\n"
    "Exit code: 0; 1 if --check was given and a target is missed or lanes failed in a row; 2 for wrong usage; 130\n"
    "after Ctrl-C.\n";

}  // namespace lanes::tool
