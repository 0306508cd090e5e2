"""The numbers of lanes against programs that know what they did: threads, forks, exec chains, kills, other users."""
import json
import os
import re
import subprocess
import unittest

from support import COMMAND, LIBRARY, SOURCE_ROOT, ToolTest, read

# Allocates N objects of many sizes and frees every second one, then ends as it is told; says what it did. Nothing else
# in it allocates.
COUNTING = r"""
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static void *kept[400000];
static long kept_count, allocated, freed;
static void work(long n) {
    for (long i = 0; i < n; ++i) {
        kept[kept_count++] = malloc(i % 50 == 0 ? 20000 + i * 37 % 400000 : i * 31 % 2500);
        ++allocated;
        if (i % 2) free(kept[--kept_count]), ++freed;
    }
}
static void *thread(void *n) { work((long)n); return 0; }
static void *waits(void *n) { work((long)n); write(1, "x", 1); pause(); return 0; }
int main(int argc, char **argv) {
    long n = atol(argv[1]);
    const char *how = argv[2];
    if (!strcmp(how, "fork")) {
        work(n);
        pid_t child = fork();
        if (child == 0) { while (kept_count) free(kept[--kept_count]); work(10); exit(0); }
        waitpid(child, 0, 0);
        return 0;
    }
    work(n);
    if (!strcmp(how, "quick_exit")) quick_exit(0);
    if (!strcmp(how, "_exit")) _exit(0);
    if (!strcmp(how, "kill")) kill(getpid(), SIGKILL);
    if (!strcmp(how, "exec")) execv(argv[3], argv + 3);
    return 0;
}
"""

# Each object of a started thread is the C library's affair: some are its own. So threads are counted by difference.
THREADS = r"""
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int ends[2];
static void *work(void *n) {
    void *kept[1000];
    for (long i = 0; i < (long)n; ++i) {
        kept[i % 1000] = malloc(i * 31 % 5000);
        free(kept[i % 1000]);
    }
    for (long i = 0; i < 100; ++i) malloc(100);
    char c = 1;
    write(ends[1], &c, 1);
    return 0;
}
static void *waits(void *n) { work(n); pause(); return 0; }
int main(int argc, char **argv) {
    pipe(ends);
    pthread_t t;
    for (int i = 0; i < 3; ++i) {
        pthread_create(&t, 0, !strcmp(argv[2], "wait") ? waits : work, (void *)atol(argv[1]));
        char c;
        read(ends[0], &c, 1);
        if (strcmp(argv[2], "wait")) pthread_join(t, 0);
    }
    return 0;
}
"""


class Numbers(ToolTest):
    def counting(self):
        return self.compile("counting", COUNTING, "-fno-builtin", "-pthread")

    def summary(self, *command, code=0, prefix=()):
        """(at least, at most) of what was allocated, freed and live, the processes and the programs."""
        run = subprocess.run([*prefix, COMMAND, "run", "--summary", "--", *command], capture_output=True, text=True,
                             timeout=60, check=False, env=self.environment())
        self.assert_runs(run, code)
        line = re.search(r"objects +(.*) allocated, (.*) freed, (.*) live", run.stderr)
        self.assertTrue(line, run.stderr)
        ranges = [[int(end.replace(",", "")) for end in text.split(" to ")] for text in line.groups()]
        processes = re.search(r"processes +(\d+) on lanes(?:, (\d+) programs)?", run.stderr)
        return [(ends[0], ends[-1]) for ends in ranges], int(processes[1]), int(processes[2] or processes[1]), run.stderr

    def assert_exact(self, counts, allocated, freed):
        self.assertEqual(counts, [(allocated, allocated), (freed, freed), (allocated - freed, allocated - freed)])

    def assert_bounds(self, counts, allocated, freed):
        for (least, most), truth in zip(counts, (allocated, freed, allocated - freed)):
            self.assertLessEqual(least, truth)
            self.assertGreaterEqual(most, truth)

    def test_exit_and_quick_exit_are_exact(self):
        for n in (2, 1000, 100000):
            for how in ("return", "quick_exit"):
                with self.subTest(n=n, how=how):
                    counts, processes, _, _ = self.summary(self.counting(), str(n), how)
                    self.assert_exact(counts, n, n // 2)
                    self.assertEqual(processes, 1)

    def test_of_a_killed_process_and_of__exit_bounds_are_printed_that_hold(self):
        for how, code in (("kill", 137), ("_exit", 0)):
            for n in (1000, 100000):
                with self.subTest(how=how, n=n):
                    counts, _, _, text = self.summary(self.counting(), str(n), how, code=code)
                    self.assert_bounds(counts, n, n // 2)
                    self.assertIn("at its end is unknown", text)
                    # Something is known of a program that did much.
                    if n == 100000:
                        self.assertGreater(counts[0][0], n * 8 // 10)

    def test_a_fork_holds_what_it_inherited(self):
        # The parent 1000 and 500 freed; the child frees the 500 that it inherited, and 5 of the 10 that are its own.
        counts, processes, _, text = self.summary(self.counting(), "1000", "fork")
        self.assertEqual(processes, 2)
        self.assertIn("; 500 inherited by forks", text)
        self.assertEqual(counts[0], (1010, 1010))
        self.assertEqual(counts[1], (500 + 500 + 5, 500 + 500 + 5))
        self.assertEqual(counts[2], (505, 505))

    def test_an_exec_chain_is_one_process(self):
        _, processes, programs, _ = self.summary("env", "env", "env", "true")
        self.assertEqual((processes, programs), (1, 4))
        counts, processes, programs, _ = self.summary(self.counting(), "1000", "exec", self.counting(), "3000", "return")
        self.assertEqual((processes, programs), (1, 2))
        self.assert_bounds(counts[:2], 4000, 2000)
        self.assertEqual(counts[2][0], 1500)

    def test_threads_that_ended_and_threads_that_wait(self):
        program = self.compile("threads", THREADS, "-fno-builtin", "-pthread")
        for how in ("end", "wait"):
            few, _, _, _ = self.summary(program, "0", how)
            many, _, _, _ = self.summary(program, "50000", how)
            for counts in (few, many):
                self.assertTrue(all(least == most for least, most in counts), counts)
            self.assertEqual(many[0][0] - few[0][0], 150000)
            self.assertEqual(many[1][0] - few[1][0], 150000)
            self.assertEqual(many[2], few[2])

    @unittest.skipUnless(os.geteuid() == 0, "only root can give up rights")
    def test_a_dropped_privilege_loses_no_numbers(self):
        os.chmod(self.folder, 0o755)
        for drop in (["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
                     ["su", "-s", "/bin/sh", "nobody", "-c"]):
            command = [self.counting(), "1000", "return"]
            if drop[0] == "su":
                command = [" ".join(command)]
            counts, processes, _, text = self.summary(*drop, *command)
            self.assertGreaterEqual(counts[0][0], 1000, text)
            self.assertIn("counting", text)
            self.assertNotIn("cannot be used", text)
            if drop[0] == "setpriv":
                self.assertEqual(processes, 1, text)

    @unittest.skipUnless(os.geteuid() == 0, "only root can mount")
    def test_a_tiny_or_a_read_only_shared_memory_folder(self):
        for options in ("size=4k", "ro"):
            mount = f'mount -t tmpfs -o {options} none /dev/shm && exec "$@"'
            prefix = ["unshare", "-m", "sh", "-c", mount, "sh"]
            if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode != 0:
                self.skipTest("no mount namespaces here")
            counts, _, _, _ = self.summary(self.counting(), "1000", "return", prefix=prefix)
            self.assert_exact(counts, 1000, 500)

    def test_an_unusable_file_is_said_in_one_line(self):
        run = subprocess.run([self.counting(), "10", "return"], capture_output=True, text=True, check=False,
                             env=self.environment(LD_PRELOAD=LIBRARY, LANES_STATS="/no/such/file"))
        self.assertEqual(run.returncode, 0)
        self.assertEqual(len(run.stderr.splitlines()), 1, run.stderr)
        for text in ("LANES_STATS=/no/such/file", "no such file", "lanes run"):
            self.assertIn(text, run.stderr)

    def test_short_lived_processes_do_not_fill_the_table(self):
        path = self.path("few-slots")
        subprocess.run([COMMAND, "run", "--stats-file", path, "--", "true"], check=True, env=self.environment())
        with open(path, "r+b") as file:
            file.seek(12)
            file.write((4).to_bytes(4, "little"))
        for _ in range(20):
            subprocess.run([self.counting(), "1000", "return"], check=True,
                           env=self.environment(LD_PRELOAD=LIBRARY, LANES_STATS=path))
        content = json.loads(self.lanes("stats", "--json", path).stdout)
        self.assertEqual(content["unplaced"], 0)
        rows = [row for row in content["processes"] if row["program"] == "counting"]
        total = sum(row["objects_allocated"] for row in rows) + content["ended"]["objects_allocated"]
        self.assertGreaterEqual(total, 20000)
        self.assertLess(total, 20100)  # `true` allocated a few, if anything

    def test_a_peak_is_at_least_what_is_held(self):
        process = self.start(self.allocating(), "wait", LD_PRELOAD=LIBRARY)
        row = json.loads(self.lanes("stats", "--json", str(process.pid)).stdout)
        self.assertGreaterEqual(row["peak_bytes"], row["backed_bytes"])
        self.assertEqual(row["backed_bytes"], row["used_bytes"] + row["dirty_bytes"])
        self.assertLessEqual(row["heap_resident_bytes"], row["resident_bytes"])
        self.assertGreater(row["heap_resident_bytes"], 1 << 20)

    def test_the_start_of_a_process_that_was_preloaded_without_us(self):
        process = self.start(self.allocating(), "wait", LD_PRELOAD=LIBRARY)
        run = self.lanes("stats", str(process.pid))
        self.assertNotIn("started 1970", run.stdout)
        row = json.loads(self.lanes("stats", "--json", str(process.pid)).stdout)
        boot = int(re.search(r"btime (\d+)", read("/proc/stat"))[1])
        ticks = int(read(f"/proc/{process.pid}/stat").rsplit(")", 1)[1].split()[19])
        self.assertAlmostEqual(row["started_ns"] / 1e9, boot + ticks / os.sysconf("SC_CLK_TCK"), delta=2)

    def test_the_page_is_the_one_in_docs(self):
        run = self.lanes("stats", "--describe")
        self.assert_runs(run)
        self.assertEqual(run.stdout, read(os.path.join(SOURCE_ROOT, "docs/numbers.md")),
                         "render it: lanes stats --describe > docs/numbers.md")

    def test_the_help_has_every_number(self):
        text = self.lanes("stats", "--help").stdout
        page = self.lanes("stats", "--describe").stdout
        names = [name for name in re.findall(r"^\| `(\w+)`", page, re.MULTILINE) if name != "fragmentation"]
        self.assertGreater(len(names), 40)
        for name in names:
            self.assertRegex(text, rf"(?m)^ *{name} ")


if __name__ == "__main__":
    unittest.main()
