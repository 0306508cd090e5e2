"""lanes run: exit codes, errors, LD_PRELOAD, signals, the summary, and that nothing is left behind."""
import glob
import os
import signal
import subprocess
import sys
import time
import unittest

from support import COMMAND, LIBRARY, ToolTest, wait_until

STATIC = r"""
#include <fcntl.h>
int main(int argc, char **argv) { if (argc > 1) creat(argv[1], 0600); return 4; }
"""


def stats_files(pid="*"):
    return [path for folder in ("/dev/shm", "/tmp") for path in glob.glob(f"{folder}/lanes-run.{pid}.*")]


class ExitCodes(ToolTest):
    def test_that_of_the_command(self):
        self.assert_runs(self.lanes("run", "--", "sh", "-c", "exit 0"), 0)
        self.assert_runs(self.lanes("run", "--", "sh", "-c", "exit 7"), 7)

    def test_128_and_the_signal(self):
        self.assert_runs(self.lanes("run", "--", "sh", "-c", "kill -KILL $$"), 128 + signal.SIGKILL)
        self.assert_runs(self.lanes("run", "--", "sh", "-c", "kill -TERM $$"), 128 + signal.SIGTERM)

    def test_missing_program(self):
        self.assert_fails(self.lanes("run", "--", "no-such-program"), 127, "no-such-program", "PATH")
        self.assert_fails(self.lanes("run", "--", "/no/such/program"), 127, "/no/such/program")
        self.assert_fails(self.lanes("run", "--", ""), 127, "empty")

    def test_missing_program_comes_before_require(self):
        self.assert_fails(self.lanes("run", "--require", "--", "no-such-program"), 127)

    def test_directory(self):
        self.assert_fails(self.lanes("run", "--", self.folder), 126, self.folder, "directory")

    def test_file_without_execute_permission(self):
        path = self.write("plain", "#!/bin/sh\n", 0o644)
        self.assert_fails(self.lanes("run", "--", path), 126, path, "not executable", "chmod")

    def test_directory_in_path_does_not_hide_the_program(self):
        os.makedirs(self.path("bin/cat"), exist_ok=True)
        run = self.lanes("run", "--", "cat", stdin="x", PATH=self.path("bin") + ":" + os.environ["PATH"])
        self.assert_runs(run)
        self.assertEqual(run.stdout, "x")

    def test_script_without_interpreter(self):
        path = self.write("script", "echo hello\n")
        self.assert_fails(self.lanes("run", "--", path), 126, path, "interpreter")

    def test_script_with_a_missing_interpreter(self):
        path = self.write("orphan", "#!/no/such/interpreter\n")
        self.assert_fails(self.lanes("run", "--", path), 126, path, "/no/such/interpreter")

    def test_wrong_usage(self):
        self.assert_fails(self.lanes("run"), 125, "no command")
        self.assert_fails(self.lanes("run", "--"), 125, "no command")
        self.assert_fails(self.lanes("run", "--sumary", "--", "true"), 125, "--sumary", "--help")

    def test_library_that_is_not_there(self):
        self.assert_fails(self.lanes("run", "--", "true", LANES_LIB="/no/such/lib.so"), 125, "LANES_LIB", "/no/such/lib.so")

    def test_library_path_that_cannot_be_preloaded(self):
        os.makedirs(self.path("with blank"), exist_ok=True)
        link = self.path("with blank/liblanes_malloc.so")
        os.symlink(LIBRARY, link)
        self.assert_fails(self.lanes("run", "--", "true", LANES_LIB=link), 125, "blank")


class StaticProgram(ToolTest):
    def static(self):
        return self.compile("static", STATIC, "-static")

    def test_warns_and_runs(self):
        self.assert_fails(self.lanes("run", "--", self.static(), self.path("ran")), 4, "warning", "statically linked")
        self.assertTrue(os.path.exists(self.path("ran")))

    def test_is_not_started_when_lanes_is_required(self):
        mark = self.path("must-not-run")
        self.assert_fails(self.lanes("run", "--require", "--", self.static(), mark), 3, "statically linked", self.static())
        self.assertFalse(os.path.exists(mark))

    def test_summary_says_why(self):
        self.assert_fails(self.lanes("run", "--summary", "--", self.static()), 4, "NOT active", "statically linked")


class Command(ToolTest):
    def test_gets_its_own_arguments(self):
        run = self.lanes("run", "--", "printf", "%s|", "--summary", "--", "-x", "")
        self.assertEqual(run.stdout, "--summary|--|-x||")
        run = self.lanes("run", "printf", "%s|", "--require", "--")
        self.assertEqual(run.stdout, "--require|--|")

    def test_gets_stdin_and_stdout(self):
        self.assertEqual(self.lanes("run", "--", "cat", stdin="in and out").stdout, "in and out")

    def test_quiet_when_all_is_well(self):
        self.assertEqual(self.lanes("run", "--require", "--", self.allocating()).stderr, "")

    def test_preload_is_prepended(self):
        run = self.lanes("run", "--", "sh", "-c", "echo $LD_PRELOAD", LD_PRELOAD="libm.so.6 libdl.so.2")
        first, *rest = run.stdout.strip().split(":")
        self.assertTrue(os.path.samefile(first, LIBRARY), run.stdout)
        self.assertEqual(rest, ["libm.so.6", "libdl.so.2"])

    def test_nested_run_names_the_library_once(self):
        run = self.lanes("run", "--", COMMAND, "run", "--", "sh", "-c", "echo $LD_PRELOAD")
        self.assertEqual(run.stdout.count("liblanes_malloc.so"), 1, run.stdout)

    def test_sanitized_program_runs_without_lanes(self):
        path = self.compile("sanitized", "int main(void) { return 6; }", "-fsanitize=address")
        self.assert_fails(self.lanes("run", "--", path), 6, "warning", "AddressSanitizer")


class Require(ToolTest):
    def test_holds(self):
        self.assert_runs(self.lanes("run", "--require", "--", "sh", "-c", "exit 5"), 5)

    def test_disabled(self):
        self.assert_fails(self.lanes("run", "--require", "--", "true", LANES_DISABLE="1"), 3, "LANES_DISABLE")

    def test_library_that_is_not_lanes(self):
        other = self.compile("other.so", "int unused;", "-shared", "-fPIC")
        self.assert_fails(self.lanes("run", "--require", "--", "true", LANES_LIB=other), 3, "did not run on lanes")
        self.assert_fails(self.lanes("run", "--", "true", LANES_LIB=other), 0, "warning", "did not run on lanes")


class Summary(ToolTest):
    def check(self, run, outcome):
        for text in ("lanes: active", outcome, "processes", "peak", "objects", "purged", "errors", "next"):
            self.assertIn(text, run.stderr)
        self.assertNotIn(" 0 allocated", run.stderr)
        self.assertLessEqual(len(run.stderr.splitlines()), 8, run.stderr)

    def test_after_return(self):
        run = self.lanes("run", "--summary", "--", self.allocating())
        self.assert_runs(run)
        self.check(run, "exit code 0")

    def test_after__exit(self):
        run = self.lanes("run", "--summary", "--", self.allocating(), "_exit")
        self.assert_runs(run, 5)
        self.check(run, "exit code 5")

    def test_after_sigkill(self):
        run = self.lanes("run", "--summary", "--", self.allocating(), "kill")
        self.assert_runs(run, 137)
        self.check(run, "signal 9")

    def test_names_what_the_command_started_that_is_not_on_lanes(self):
        sleeper = self.compile("sleeper", "#include <stdlib.h>\n#include <unistd.h>\n"
                               "int main(int argc, char **argv) { sleep(atoi(argv[1])); return 0; }", "-static")
        # It is looked for from time to time: on a busy machine it has to live longer to be seen.
        for seconds in (1, 2, 4, 8, 16):
            run = self.lanes("run", "--summary", "--", "sh", "-c", f"sleep {seconds} & {sleeper} {seconds}; wait")
            self.assert_runs(run)
            if "others" in run.stderr:
                break
        self.assertRegex(run.stderr, r"others +1 seen that did not run on lanes: sleeper \(process \d+\)")

    def test_counts_the_processes_behind_the_command(self):
        run = self.lanes("run", "--summary", "--", "sh", "-c", f"{self.allocating()}; cat /dev/null; true")
        self.assert_runs(run)
        line = next(line for line in run.stderr.splitlines() if "processes" in line)
        for name in ("sh", "allocating", "cat"):
            self.assertIn(name, line)


class Signals(ToolTest):
    # Waits with the signal blocked: a handler could run between "ready" and the sleep that it is to end.
    PROGRAM = ("import signal, sys\n"
               "wanted = {getattr(signal, sys.argv[1])}\n"
               "signal.pthread_sigmask(signal.SIG_BLOCK, wanted)\n"
               "print('ready', flush=True)\n"
               "signal.sigwait(wanted)\n"
               "sys.exit(9)\n")

    def test_are_passed_on(self):
        for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"):
            with self.subTest(name):
                process = self.start(COMMAND, "run", "--", sys.executable, "-c", self.PROGRAM, name)
                process.send_signal(getattr(signal, name))
                self.assertEqual(process.wait(10), 9)

    def test_default_action_ends_both(self):
        process = self.start(COMMAND, "run", "--", self.allocating(), "wait")
        process.terminate()
        self.assertEqual(process.wait(10), 128 + signal.SIGTERM)


class StatsFile(ToolTest):
    def test_is_there_while_the_command_runs_and_gone_afterwards(self):
        process = self.start(COMMAND, "run", "--", self.allocating(), "wait")
        self.assertEqual(len(stats_files(process.pid)), 1)
        process.terminate()
        process.wait(10)
        self.assertEqual(stats_files(process.pid), [])

    def test_takes_no_memory_for_slots_that_nobody_claimed(self):
        process = self.start(COMMAND, "run", "--", self.allocating(), "wait")
        status = os.stat(glob.glob(f"{stats_files(process.pid)[0]}/*/{os.geteuid()}")[0])
        self.assertGreater(status.st_size, 1 << 20)
        self.assertLessEqual(status.st_blocks * 512, 64 << 10)

    def test_of_a_killed_run_is_removed_by_the_next(self):
        process = self.start(COMMAND, "run", "--", self.allocating(), "wait")
        leftover = stats_files(process.pid)[0]
        os.utime(leftover, (time.time() - 3600, time.time() - 3600))
        self.lanes("run", "--", "true")
        self.assertTrue(os.path.exists(leftover), "a file in use was removed")
        children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False).stdout
        process.kill()
        process.wait(10)
        for child in children.split():
            os.kill(int(child), signal.SIGKILL)
        os.utime(leftover, (time.time() - 3600, time.time() - 3600))
        self.assertTrue(wait_until(lambda: (self.lanes("run", "--", "true"), not os.path.exists(leftover))[1]))


if __name__ == "__main__":
    unittest.main()
