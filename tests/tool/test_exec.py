"""lanes run where nothing may stand between the command and who watches it: --exec, and as process 1 of a container."""
import glob
import os
import re
import signal
import subprocess
import sys
import unittest

from support import COMMAND, ToolTest, read

SIGNALS = "^Sig(Blk|Ign|Cgt)"

# An orphan for process 1, that has ended before it is waited for; fails if it stays a zombie.
ORPHAN = r"""
import glob, os, sys, time
def state(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""
reads, writes = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        while os.getppid() != 1:
            time.sleep(0.001)
        os.write(writes, str(os.getpid()).encode())
    os._exit(0)
os.wait()
orphan = int(os.read(reads, 20))
end = time.monotonic() + 10
while state(orphan) and time.monotonic() < end:
    time.sleep(0.01)
sys.exit(4 if state(orphan) else 9)
"""

IN_CONTAINER = ["unshare", *([] if os.geteuid() == 0 else ["-r"]), "--pid", "--fork", "--kill-child",
                "--mount-proc"]


def containers_can_be_made():
    try:
        return subprocess.run([*IN_CONTAINER, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


class Exec(ToolTest):
    def test_is_the_same_process_and_on_lanes(self):
        process = self.start(COMMAND, "run", "--exec", "--", self.allocating(), "wait")
        self.assertEqual(os.readlink(f"/proc/{process.pid}/exe"), self.allocating())
        self.assert_runs(self.lanes("doctor", str(process.pid)))
        self.assertEqual(glob.glob(f"/dev/shm/lanes-run.{process.pid}.*"), [])

    def test_signals_are_as_inherited(self):
        def ignore_and_block():
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGTERM])

        shown = ["grep", "-E", SIGNALS, "/proc/self/status"]
        texts = [subprocess.run(command, text=True, capture_output=True, check=True, timeout=60, env=self.environment(),
                                preexec_fn=ignore_and_block).stdout
                 for command in (shown, [COMMAND, "run", "--exec", "--", *shown])]
        self.assertEqual(len(texts[0].splitlines()), 3)
        self.assertEqual(*texts)

    def test_errors_are_those_of_run(self):
        self.assert_fails(self.lanes("run", "--exec", "--", "no-such-program"), 127, "no-such-program")
        self.assert_fails(self.lanes("run", "--exec", "--", self.write("text", "hello\n")), 126, "interpreter line")

    def test_what_needs_a_process_beside_it_is_refused(self):
        for other in ("--summary", "--require"):
            self.assert_fails(self.lanes("run", "--exec", other, "--", "true"), 125, "--exec", other)

    def test_counters_of_the_environment_are_kept(self):
        run = self.lanes("run", "--exec", "--", "sh", "-c", "echo $LANES_STATS", LANES_STATS="/no/such/file")
        self.assertEqual(run.stdout, "/no/such/file\n")


class StatsFile(ToolTest):
    def processes(self, path):
        run = self.lanes("stats", path)
        self.assert_runs(run)
        return run.stdout

    def test_stays_after_the_process(self):
        for how in (["--exec"], []):
            path = self.path("stays" + "".join(how))
            self.assert_runs(self.lanes("run", *how, "--stats-file", path, "--", self.allocating(), "kill"),
                             128 + signal.SIGKILL if not how else -signal.SIGKILL)
            self.assertIn("allocating (process", self.processes(path))

    def test_is_a_new_one_at_each_start(self):
        path = self.path("again")
        for _ in range(2):
            self.assert_runs(self.lanes("run", "--stats-file", path, self.allocating()))
        self.assertIn("1 processes", self.processes(path))

    def test_is_left_to_whoever_still_counts_in_it(self):
        path = self.path("in-use")
        process = self.start(COMMAND, "run", "--exec", "--stats-file", path, "--", self.allocating(), "wait")
        self.assert_runs(self.lanes("run", "--exec", "--stats-file", path, "--", "true"))
        self.assertIn("allocating", self.processes(str(process.pid)))
        self.assertIn("true (process", self.processes(path))

    def test_that_cannot_be_made(self):
        for path in ("/no/such/folder/file", self.folder, "/dev/null/file"):
            run = self.lanes("run", "--stats-file", path, "--", "echo", "ran")
            self.assert_fails(run, 125, path)
            self.assertEqual(run.stdout, "")
        self.assertEqual(glob.glob(self.folder + ".*"), [])


class Debugger(ToolTest):
    """The line that a report of a bad free shows leads to the place of it."""

    BAD = r"""
#include <stdlib.h>
__attribute__((noinline)) void frees_twice(char *block) { free(block); free(block); }
int main(void) { frees_twice(malloc(40)); return 0; }
"""

    def backtrace(self, line):
        self.assertTrue(line.startswith(("gdb -ex run", "LANES_ON_ERROR=abort gdb -ex run")), line)
        run = subprocess.run(["sh", "-c", line.replace("gdb ", "gdb -nx -batch ")], text=True, capture_output=True,
                             timeout=100, check=False,
                             env=self.environment(PATH=os.path.dirname(COMMAND) + ":" + os.environ["PATH"]))
        self.assertIn("SIGABRT", run.stdout, run.stderr)
        self.assertRegex(run.stdout, r"in frees_twice .*\n.* in main ", run.stderr)

    def bad(self):
        return self.compile("bad", self.BAD, "-g", "-O0")

    def test_line_of_the_report(self):
        report = self.lanes("run", "--", self.bad()).stderr
        self.backtrace(re.search(r"`(gdb .*)` shows where", report)[1].replace("COMMAND", self.bad()))

    def test_line_of_the_summary(self):
        run = self.lanes("run", "--summary", "--", self.bad(), LANES_ON_ERROR="warn")
        self.backtrace(re.search(r"next +(.*)   \(where", run.stderr)[1])


@unittest.skipUnless(containers_can_be_made(), "this user may not make a PID namespace")
class FirstProcess(ToolTest):
    def run_first(self, *command, **options):
        return subprocess.run([*IN_CONTAINER, COMMAND, "run", *command], text=True, capture_output=True, timeout=60,
                              check=False, env=self.environment(), **options)

    def test_takes_in_orphans(self):
        for options in ([], ["--require"]):
            self.assert_runs(self.run_first(*options, "--", sys.executable, "-c", ORPHAN), 9)

    def test_ends_as_the_command_does(self):
        self.assert_runs(self.run_first("--", "sh", "-c", "exit 7"), 7)
        self.assert_runs(self.run_first("--", "sh", "-c", "kill -TERM $$"), 128 + signal.SIGTERM)

    def test_passes_on_signals_for_which_it_has_no_handler(self):
        program = ("import signal, sys; signal.signal(int(sys.argv[1]), lambda *_: sys.exit(9)); print('ready', flush=True); "
                   "signal.pause()")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGWINCH, signal.SIGRTMIN + 3):
            process = self.start(*IN_CONTAINER, COMMAND, "run", "--", sys.executable, "-c", program, str(int(number)))
            first = int(read(f"/proc/{process.pid}/task/{process.pid}/children"))
            os.kill(first, number)
            self.assertEqual(process.wait(10), 9, number)

    def test_ended_by_a_signal_of_the_outside(self):
        process = self.start(*IN_CONTAINER, COMMAND, "run", "--", self.allocating(), "wait")
        os.kill(int(read(f"/proc/{process.pid}/task/{process.pid}/children")), signal.SIGTERM)
        self.assertEqual(process.wait(10), 128 + signal.SIGTERM)

    def test_exec_makes_the_command_the_first_process(self):
        run = self.run_first("--exec", "--", "sh", "-c", "echo $$")
        self.assertEqual(run.stdout, "1\n")


if __name__ == "__main__":
    unittest.main()
