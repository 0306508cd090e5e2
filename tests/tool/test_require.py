"""lanes run --require: it fails when the program that the command turned into at its end was not on lanes."""
import os
import signal
import subprocess
import sys
import unittest

from support import COMMAND, ToolTest, process_state, wait_until

STATIC = "int main(void) { return 4; }"

# As a static Go program does it: exec called by a thread that is not the first.
EXEC_FROM_A_THREAD = r"""
#include <pthread.h>
#include <unistd.h>
static void *run(void *arguments) { execv(((char **)arguments)[0], arguments); _exit(99); }
int main(int argc, char **argv) {
    pthread_t thread;
    pthread_create(&thread, 0, run, argv + 1);
    pthread_join(thread, 0);
    return 98;
}
"""

UNSETS = r"""
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv) { unsetenv("LD_PRELOAD"); execvp(argv[1], argv + 1); return 99; }
"""

WITHOUT_A_LOOK = r"""
#include <stdlib.h>
#include <sys/prctl.h>
int main(void) { prctl(PR_SET_DUMPABLE, 0); return malloc(1) == 0; }
"""


class Wrapped(ToolTest):
    """What the wrapper itself ran on does not count."""

    def require(self, *command, **variables):
        return self.lanes("run", "--require", "--", *command, **variables)

    def assert_refused(self, run, program, *texts):
        self.assert_fails(run, 3, "did not run on lanes", f"it ended as '{program}'", *texts)
        self.assertEqual(len(run.stderr.splitlines()), 1, run.stderr)

    def static(self):
        return self.compile("static", STATIC, "-static")

    def test_static_program(self):
        self.assert_refused(self.require("nice", self.static()), self.static(), "statically linked", "exit code 4")

    def test_cleared_environment(self):
        self.assert_refused(self.require("env", "-i", self.allocating()), self.allocating(), "LD_PRELOAD does not name")

    def test_unset_variable(self):
        wrapper = self.compile("unsets", UNSETS)
        self.assert_refused(self.require(wrapper, self.allocating()), self.allocating(), "LD_PRELOAD does not name")

    def test_switched_off_on_the_way(self):
        run = self.require("env", "LANES_DISABLE=1", self.allocating())
        self.assert_refused(run, self.allocating(), "LANES_DISABLE")

    @unittest.skipUnless(os.geteuid() == 0, "only root may chroot")
    def test_root_without_the_library(self):
        self.static()
        run = self.require("chroot", self.folder, "/static")
        self.assert_fails(run, 3, "did not run on lanes", "statically linked")

    @unittest.skipUnless(os.geteuid() == 0, "only root can make a program setuid for another user")
    def test_setuid_program(self):
        path = self.compile("setuid", "int main(void) { return 0; }")
        os.chown(path, 65534, 65534)
        os.chmod(path, 0o4755)
        self.assert_refused(self.require("nice", path), path, "is setuid")

    def test_program_with_a_malloc_of_its_own(self):
        path = self.compile("own", "char room[64]; void *malloc(unsigned long n) { return n < 64 ? room : 0; }"
                                   "int main(void) { return malloc(1) == 0; }", "-rdynamic", "-fno-builtin")
        self.assert_refused(self.require("nice", path), path, "defines malloc itself")

    def test_several_wrappers(self):
        run = self.require("nice", "env", "A=1", "sh", "-c", f"exec nice {self.static()}")
        self.assert_refused(run, self.static(), "statically linked")

    def test_script_that_ends_in_an_exec(self):
        path = self.write("ends-in-exec", f"#!/bin/sh\ntrue\nexec nice {self.static()}\n")
        self.assert_refused(self.require(path), self.static(), "statically linked")

    def test_exec_by_a_thread(self):
        wrapper = self.compile("threaded", EXEC_FROM_A_THREAD, "-pthread")
        self.assert_refused(self.require(wrapper, self.static()), self.static(), "statically linked")
        self.assert_runs(self.require(wrapper, self.allocating(), "_exit"), 5)

    def test_what_is_killed(self):
        run = self.require("env", "-i", sys.executable, "-c", "import os; os.kill(os.getpid(), 9)")
        self.assert_fails(run, 3, "did not run on lanes", "killed by signal 9")

    def test_wrapper_that_is_not_on_lanes_is_no_obstacle(self):
        wrapper = self.compile("static-threaded", EXEC_FROM_A_THREAD, "-pthread", "-static")
        self.assert_fails(self.require(wrapper, self.allocating()), 3, "was not started")
        self.assert_runs(self.require("nice", wrapper, self.allocating(), "_exit"), 5)

    def test_programs_behind_wrappers_that_are_on_lanes(self):
        self.assert_runs(self.require("nice", "env", "A=1", self.allocating(), "_exit"), 5)
        self.assert_runs(self.require("nice", self.allocating(), "kill"), 128 + signal.SIGKILL)
        self.assert_runs(self.require("sh", "-c", "kill -TERM $$"), 128 + signal.SIGTERM)

    def test_program_that_cannot_be_looked_at(self):
        self.assert_runs(self.require("nice", self.compile("closed", WITHOUT_A_LOOK)))

    def test_missing_program_behind_require(self):
        broken = self.compile("no-loader", "int main(void) { return 0; }", "-Wl,--dynamic-linker=/no/such/loader")
        self.assert_fails(self.require(broken), 126, "dynamic loader")


class Following(ToolTest):
    """What else the command may notice of being followed."""

    def test_signals_arrive(self):
        program = ("import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(9)); print('ready', flush=True); "
                   "signal.pause()")
        process = self.start(COMMAND, "run", "--require", "--", sys.executable, "-c", program)
        process.terminate()
        self.assertEqual(process.wait(10), 9)

    def test_it_can_be_stopped_and_continued(self):
        process = self.start(COMMAND, "run", "--require", "--", "sh", "-c", "echo $$ >&2; echo ready; read word; exit 6",
                             stdin=True)
        child = int(process.stderr.readline())
        os.kill(child, signal.SIGSTOP)
        self.assertTrue(wait_until(lambda: process_state(child) in "Tt"))
        os.kill(child, signal.SIGCONT)
        self.assertTrue(wait_until(lambda: process_state(child) == "S"))
        process.stdin.write("go\n")
        process.stdin.close()
        self.assertEqual(process.wait(10), 6)

    def test_its_children_are_not_traced(self):
        run = self.lanes("run", "--require", "--", "sh", "-c", "grep TracerPid /proc/self/status; true")
        self.assert_runs(run)
        self.assertEqual(run.stdout.split(), ["TracerPid:", "0"])

    def test_where_it_is_forbidden_nothing_is_started(self):
        # What strace follows cannot be followed by another, as in a container that forbids ptrace.
        run = subprocess.run(["strace", "-f", "-o", "/dev/null", COMMAND, "run", "--require", "--", "sh", "-c", "echo ran"],
                             text=True, capture_output=True, timeout=60, check=False, env=self.environment())
        self.assert_fails(run, 3, "was not started", "ptrace")
        self.assertEqual(run.stdout, "")


if __name__ == "__main__":
    unittest.main()
