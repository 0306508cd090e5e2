"""lanes record and the workload that replays: every call is there, in an order that every allocator can repeat."""
import ctypes.util
import glob
import os
import re
import signal
import subprocess
import unittest

from support import COMMAND, LIBRARY, ToolTest

os.environ.pop("LANES_INSTRUMENTS")
REPLAY = os.environ.pop("LANES_REPLAY", "")

# Each round of `alone`: malloc, calloc, posix_memalign, two reallocs, three frees, by each of `threads` threads. Of
# `handed`: one malloc by the first thread, its free by the other one. What the C library adds is the same for every number.
PROGRAM = r"""
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static long rounds;
static void *kept[1000];
static void *alone(void *unused) {
    for (long i = 0; i < rounds; i++) {
        char *a = malloc(i % 300), *b = calloc(2, i % 500), *c = NULL;
        posix_memalign((void **)&c, 256, i % 700);
        a = realloc(a, i % 5000 + 1);
        a = realloc(a, i % 50 + 1);
        memset(a, 1, i % 50 + 1);
        free(a); free(b); free(c);
    }
    return unused;
}
static void *volatile handed[64];
static void *receive(void *unused) {
    for (long i = 0; i < rounds; i++) {
        void *block;
        while ((block = __atomic_exchange_n(&handed[i % 64], NULL, __ATOMIC_ACQ_REL)) == NULL) usleep(10);
        free(block);
    }
    return unused;
}
static void hand(void) {
    for (long i = 0; i < rounds; i++) {
        void *block = malloc(i % 900 + 1);
        while (__atomic_load_n(&handed[i % 64], __ATOMIC_ACQUIRE) != NULL) usleep(10);
        __atomic_store_n(&handed[i % 64], block, __ATOMIC_RELEASE);
    }
}
int main(int argc, char **argv) {
    const char *how = argv[1];
    rounds = atol(argv[2]);
    int threads = argc > 3 ? atoi(argv[3]) : 0;
    pthread_t running[64];
    for (int i = 0; i < threads; i++) pthread_create(&running[i], NULL, strcmp(how, "handed") ? alone : receive, NULL);
    if (strcmp(how, "handed") == 0) hand();
    for (int i = 0; i < threads; i++) pthread_join(running[i], NULL);
    if (strcmp(how, "close") == 0) { chdir("/"); for (int fd = 0; fd < 1024; fd++) { close(fd); open("/dev/null", O_RDONLY); } }
    if (threads == 0) alone(NULL);
    if (strcmp(how, "short") == 0) {
        for (int i = 0; i < 200; i++) { pthread_create(&running[0], NULL, alone, NULL); pthread_join(running[0], NULL); }
    }
    if (strcmp(how, "fork") == 0) {
        for (int i = 0; i < 1000; i++) kept[i] = malloc(100);
        if (fork() == 0) {
            for (int i = 0; i < 1000; i++) free(kept[i]);
            alone(NULL);
            _exit(0);
        }
        wait(NULL);
    }
    if (strcmp(how, "exec") == 0) execl(argv[0], argv[0], "alone", argv[2], NULL);
    if (strcmp(how, "_exit") == 0) _exit(5);
    if (strcmp(how, "kill") == 0) kill(getpid(), SIGKILL);
    return 0;
}
"""

KINDS = ("malloc", "calloc", "aligned", "realloc", "free")
ALONE = {"malloc": 1, "calloc": 1, "aligned": 1, "realloc": 2, "free": 3}


class RecordTest(ToolTest):
    def program(self):
        return self.compile("calls", PROGRAM, "-pthread", "-fno-builtin")

    def record(self, *arguments, options=(), code=0, name="t.lt"):
        run = self.lanes("record", "--trace", self.path(name), *options, "--", self.program(), *map(str, arguments))
        self.assert_runs(run, code)
        self.assertEqual(glob.glob(self.path("*.part*")), [])
        return run.stderr

    def calls(self, summary):
        line = next(line for line in summary.splitlines() if line.startswith("  calls"))
        return {kind: int(re.search(rf"\b{kind} ([0-9,]+)", line)[1].replace(",", "")) for kind in KINDS}

    def assert_calls(self, few, many, expected):
        few, many = self.calls(few), self.calls(many)
        self.assertEqual({kind: many[kind] - few[kind] for kind in KINDS}, {kind: 0 for kind in KINDS} | expected)

    def replay(self, *parameters, preload="", name="t.lt"):
        if not REPLAY:
            self.skipTest("the benchmark programs are not built")
        return subprocess.run([REPLAY, f"trace={self.path(name)}", *parameters], capture_output=True, text=True,
                              errors="replace", timeout=100, check=False, env=self.environment(LD_PRELOAD=preload))

    def allocators(self):
        mimalloc = ctypes.util.find_library("mimalloc")
        return ["", LIBRARY] + ([mimalloc] if mimalloc else [])

    def assert_replays(self, *parameters, name="t.lt"):
        """One output, whatever the allocator, the threads and the touching."""
        outputs = set()
        for allocator in self.allocators():
            for threads in ("1", "recorded"):
                for touch in "012":
                    run = self.replay(f"threads={threads}", f"touch={touch}", *parameters, preload=allocator, name=name)
                    self.assertEqual((run.returncode, run.stderr), (0, ""), f"{allocator} {threads} {touch}")
                    outputs.add(run.stdout)
        self.assertEqual(len(outputs), 1, outputs)
        return outputs.pop()


class Calls(RecordTest):
    def test_of_one_thread(self):
        few, many = self.record("alone", 10), self.record("alone", 20010)
        self.assert_calls(few, many, {kind: 20000 * n for kind, n in ALONE.items()})
        self.assertIn("threads    1\n", many)

    def test_of_many_threads_in_every_recording(self):
        few = self.record("alone", 10, 4)
        for i in range(5):
            with self.subTest(i):
                many = self.record("alone", 3010, 4)
                self.assert_calls(few, many, {kind: 4 * 3000 * n for kind, n in ALONE.items()})
                self.assertIn("threads    5\n", many)
                self.assertNotIn("note", many.replace("frees of blocks from before", ""))

    def test_of_threads_that_end(self):
        few, many = self.record("short", 10), self.record("short", 20)
        self.assert_calls(few, many, {kind: 201 * 10 * n for kind, n in ALONE.items()})
        self.assertIn("threads    201\n", many)

    def test_that_free_for_another_thread(self):
        few, many = self.record("handed", 10, 1), self.record("handed", 20010, 1)
        self.assert_calls(few, many, {"malloc": 20000, "free": 20000})

    def test_before__exit_and_sigkill(self):
        for how, code in (("_exit", 5), ("kill", 128 + signal.SIGKILL)):
            with self.subTest(how):
                few, many = self.record(how, 10, code=code), self.record(how, 5010, code=code)
                self.assert_calls(few, many, {kind: 5000 * n for kind, n in ALONE.items()})

    def test_of_a_program_that_takes_all_descriptors(self):
        few, many = self.record("close", 10), self.record("close", 50010)
        self.assert_calls(few, many, {kind: 50000 * n for kind, n in ALONE.items()})

    def test_after_an_exec_begin_anew(self):
        alone, after_exec = self.record("alone", 500), self.record("exec", 500)
        self.assertEqual(self.calls(alone)["aligned"], self.calls(after_exec)["aligned"])


class Forks(RecordTest):
    def test_are_left_out(self):
        few, many = self.record("fork", 10), self.record("fork", 1010)
        self.assert_calls(few, many, {kind: 1000 * n for kind, n in ALONE.items()})
        self.assertEqual(len(glob.glob(self.path("t.lt*"))), 1)

    def test_have_files_of_their_own_when_wanted(self):
        summary = self.record("fork", 1000, options=["--follow-forks"], name="f.lt")
        child, = glob.glob(self.path("f.lt.*"))
        self.assertIn(child, summary)
        of_child = summary[summary.index(child):] if summary.index(child) > summary.index("is in " + self.path("f.lt") + "\n") \
            else summary[:summary.index("is in " + self.path("f.lt") + "\n")]
        self.assertEqual(self.calls(of_child), {kind: 1000 * n for kind, n in ALONE.items()})
        self.assertIn("1,000 frees of blocks from before the recording", of_child)
        self.assert_replays(name=os.path.basename(child))


class Replay(RecordTest):
    def test_of_one_thread(self):
        self.record("alone", 1000)
        self.assert_replays()

    def test_of_threads(self):
        self.record("alone", 1000, 4)
        self.assert_replays()

    def test_of_threads_that_end(self):
        self.record("short", 20)
        self.assert_replays()

    def test_of_blocks_that_change_hands(self):
        summary = self.record("handed", 5000, 1)
        output = self.assert_replays()
        self.assertEqual(int(output.split()[1]), sum(self.calls(summary).values()))

    def test_of_a_killed_program(self):
        self.record("kill", 1000, code=128 + signal.SIGKILL)
        self.assert_replays()

    def test_again_and_again(self):
        self.record("handed", 1000, 1)
        once, thrice = self.assert_replays(), self.assert_replays("repeat=3")
        self.assertEqual(3 * int(once.split()[1]), int(thrice.split()[1]))

    def test_of_real_programs(self):
        run = self.lanes("record", "--trace", self.path("t.lt"), "--", "/usr/bin/python3", "-c",
                         "import json, threading\n"
                         "work = lambda: json.loads(json.dumps([{str(i): [i] * 9} for i in range(2000)]))\n"
                         "threads = [threading.Thread(target=work) for _ in range(3)]\n"
                         "[t.start() for t in threads]; [t.join() for t in threads]; print(len(work()))",
                         PYTHONMALLOC="malloc")
        self.assert_runs(run)
        self.assertEqual(run.stdout, "2000\n")
        self.assert_replays()


class BadTraces(RecordTest):
    def assert_refused(self, text, *parameters, name="t.lt"):
        run = self.replay(*parameters, name=name)
        self.assertEqual((run.returncode, run.stdout), (2, ""))
        self.assertIn(text, run.stderr)

    def test_missing(self):
        self.assert_refused("No such file", name="missing.lt")

    def test_of_something_else(self):
        self.write("t.lt", "no trace\n" * 100)
        self.assert_refused("is no trace")
        self.write("t.lt", "")
        self.assert_refused("is no trace")

    def test_cut_off(self):
        self.record("alone", 1000)
        size = os.path.getsize(self.path("t.lt"))
        for length in (100, 1000, size // 2, size - 1):
            with open(self.path("t.lt"), "rb") as whole:
                content = whole.read(length)
            with open(self.path("cut.lt"), "wb") as cut:
                cut.write(content)
            self.assert_refused("is ", name="cut.lt")

    def test_damaged(self):
        self.record("alone", 1000)
        with open(self.path("t.lt"), "r+b") as file:
            file.seek(5000)
            byte = file.read(1)[0]
            file.seek(5000)
            file.write(bytes([byte ^ 4]))
        self.assert_refused("damaged")

    def test_wrong_parameters(self):
        self.record("alone", 10)
        self.assert_refused("threads", "threads=9")


class Limits(RecordTest):
    def test_cut_the_trace_and_say_so(self):
        summary = self.record("alone", 100000, options=["--limit", "512K"])
        self.assertIn("cut: the calls after the first 512.0 KiB on disk are left out", summary)
        self.assertLess(self.calls(summary)["aligned"], 50000)
        self.assert_replays()

    def test_leave_the_command_alone(self):
        self.record("_exit", 100000, options=["--limit", "512K"], code=5)


class Errors(RecordTest):
    def test_exit_codes(self):
        trace = ("--trace", self.path("t.lt"))
        self.assert_fails(self.lanes("record", *trace, "--", "no-such-program"), 127, "no-such-program")
        self.assert_fails(self.lanes("record", *trace), 125, "no command")
        self.assert_fails(self.lanes("record", "--", "true"), 125, "--trace")
        self.assert_fails(self.lanes("record", *trace, "--limit", "10", "--", "true"), 125, "--limit")
        self.assert_fails(self.lanes("record", "--trace", "/no/such/t.lt", "--", "true"), 125, "/no/such/t.lt")
        self.assert_fails(self.lanes("record", "--trace", self.folder, "--", "true"), 125, "directory")
        self.assert_runs(self.lanes("record", *trace, "--", "sh", "-c", "exit 9"), 9)

    def test_program_that_cannot_be_recorded_is_not_started(self):
        static = self.compile("static", "#include <fcntl.h>\nint main(int c, char **v) { creat(v[1], 0600); return 4; }",
                              "-static")
        mark = self.path("must-not-run")
        self.assert_fails(self.lanes("record", "--trace", self.path("s.lt"), "--", static, mark), 3, "statically linked")
        self.assertFalse(os.path.exists(mark) or os.path.exists(self.path("s.lt")))

    def test_output_of_the_command_stays_its_own(self):
        run = self.lanes("record", "--trace", self.path("t.lt"), "--", "cat", stdin="in and out")
        self.assertEqual(run.stdout, "in and out")

    def test_works_on_another_allocator(self):
        run = self.lanes("record", "--trace", self.path("t.lt"), "--", COMMAND, "run", "--require", "--", self.program(),
                         "alone", "100")
        self.assert_runs(run)
        run = self.lanes("record", "--trace", self.path("t.lt"), "--", self.program(), "alone", "100", LD_PRELOAD=LIBRARY)
        self.assert_runs(run)
        self.assertEqual(self.calls(run.stderr)["aligned"], 100)


if __name__ == "__main__":
    unittest.main()
