"""The launcher and the library that watches a program's end: what they report, which process they hold, and that nothing is left behind."""
import os
import signal
import subprocess
import sys
import unittest

from support import LIBRARY, ToolTest, wait_until

INSTRUMENTS = os.environ.pop("LANES_INSTRUMENTS")
LAUNCH = os.path.join(INSTRUMENTS, "launch")
LIBC = next(line.split()[-1] for line in open("/proc/self/maps", encoding="ascii") if "libc.so" in line)

ENDINGS = r"""
#include <err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static char **arguments;
static void *other(void *how) { if (strcmp(how, "thread") == 0) exit(7); return NULL; }
static void handler(void) { _exit(7); }
int main(int argc, char **argv) {
    const char *how = argv[1];
    pthread_t thread;
    if (strcmp(how, "exit") == 0) exit(7);
    if (strcmp(how, "_exit") == 0) _exit(7);
    if (strcmp(how, "_Exit") == 0) _Exit(7);
    if (strcmp(how, "quick_exit") == 0) quick_exit(7);
    if (strcmp(how, "err") == 0) errx(7, "on purpose");
    if (strcmp(how, "atexit") == 0) atexit(handler);
    if (strcmp(how, "abort") == 0) abort();
    if (strcmp(how, "exec") == 0) execl(argv[0], argv[0], "return", NULL);
    if (strcmp(how, "alarm") == 0) alarm(1);
    if (strcmp(how, "close") == 0) for (int fd = 0; fd < 1024; fd++) close(fd);
    if (strcmp(how, "thread") == 0) { pthread_create(&thread, NULL, other, argv[1]); pthread_join(thread, NULL); }
    if (strcmp(how, "children") == 0) {
        if (fork() == 0) exit(1);
        if (vfork() == 0) _exit(1);
        while (wait(NULL) > 0) {}
    }
    return 7;
}
"""

# Grows to 64 MiB in blocks that no allocator keeps in a cache, and gives all back.
GIVING_BACK = r"""
#include <stdlib.h>
#include <string.h>
int main(void) {
    static void *blocks[16];
    for (int i = 0; i < 16; i++) memset(blocks[i] = malloc(4 << 20), 1, 4 << 20);
    for (int i = 0; i < 16; i++) free(blocks[i]);
    return 0;
}
"""

COUNTED = r"""
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static long rounds;
static void *work(void *unused) {
    for (long i = 0; i < rounds; i++) {
        void *a = malloc(i), *b = calloc(3, i), *c = aligned_alloc(64, 64), *d = NULL;
        posix_memalign(&d, 32, i);
        a = realloc(a, 2 * i + 1);
        b = realloc(NULL, 5);
        free(a); free(b); free(c); free(d); free(NULL);
    }
    return unused;
}
int main(int argc, char **argv) {
    pthread_t threads[3];
    rounds = atol(argv[1]);
    for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, work, NULL);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    if (fork() == 0) { work(NULL); _exit(0); }
    wait(NULL);
    return 0;
}
"""


class LaunchTest(ToolTest):
    def start_launch(self, *arguments, **options):
        """launch, and the reading end of its report."""
        reading, writing = os.pipe()
        process = subprocess.Popen([LAUNCH, "--report", str(writing), *arguments], pass_fds=(writing,), text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment(), **options)
        os.close(writing)
        return process, os.fdopen(reading)

    def launch(self, *arguments):
        """The report as a dictionary, with launch's own exit code and stderr."""
        process, report = self.start_launch(*arguments)
        with report:
            _, stderr = process.communicate(timeout=60)
            values = dict(line.split() for line in report)
        values.update(launch_code=process.returncode, stderr=stderr)
        return values

    def ending(self, how, *options):
        return self.launch(*options, "--", self.compile("endings", ENDINGS, "-pthread"), how)


class Report(LaunchTest):
    def test_of_a_run(self):
        values = self.launch("--", "sh", "-c", "exit 5")
        self.assertEqual((values["status"], values["code"], values["launch_code"]), ("exit", "5", 0))
        for key in ("pid", "wall_s", "user_s", "system_s", "peak_rss_kib", "minor_faults", "major_faults"):
            self.assertIn(key, values)
        self.assertEqual(int(values["page_faults"]), int(values["minor_faults"]) + int(values["major_faults"]))
        for key in ("settled_rss_kib", "mapped", "malloc_calls"):
            self.assertNotIn(key, values)

    def test_of_a_signal(self):
        values = self.launch("--", "sh", "-c", "kill -SEGV $$")
        self.assertEqual((values["status"], values["code"]), ("signal", str(int(signal.SIGSEGV))))

    def test_of_a_command_that_is_not_there(self):
        values = self.launch("--", "no-such-program")
        self.assertEqual((values["status"], values["launch_code"]), ("unstarted", 127))
        self.assertIn("no-such-program", values["stderr"])

    def test_peak_begins_with_nothing_of_the_launcher(self):
        small = self.compile("small", "int main(void) { return 0; }", "-static")
        self.assertLess(int(self.launch("--", small)["peak_rss_kib"]), 2048)

    def test_wrong_usage(self):
        for arguments in ([], ["--"], ["--hold", "x", "--", "true"], ["--speed", "--", "true"],
                          ["--preload", "/no/such.so", "--", "true"]):
            with self.subTest(arguments):
                self.assertEqual(self.launch(*arguments)["launch_code"], 2)


class Preload(LaunchTest):
    def test_order(self):
        process, report = self.start_launch("--count", "--hold", "0", "--preload", LIBRARY, "--preload", "libm.so.6", "--", "sh",
                                            "-c", "echo $LD_PRELOAD")
        with report:
            stdout, _ = process.communicate(timeout=60)
        names = [os.path.basename(path) for path in stdout.strip().split(":")]
        self.assertEqual(names, ["liblanes_trace.so", "liblanes_malloc.so", "libm.so.6", "liblanes_watch.so"])

    def test_mapped(self):
        self.assertEqual(self.launch("--preload", LIBRARY, "--mapped", LIBRARY, "--", "true")["mapped"], "1")
        self.assertEqual(self.launch("--mapped", LIBRARY, "--", "true")["mapped"], "0")

    def test_mapped_compares_files(self):
        link = self.path("link.so")
        os.symlink(LIBRARY, link)
        self.assertEqual(self.launch("--preload", link, "--mapped", LIBRARY, "--", "true")["mapped"], "1")
        self.assertEqual(self.launch("--mapped", LIBC, "--", "true")["mapped"], "1")

    def test_mapped_in_a_program_that_dies(self):
        values = self.ending("abort", "--preload", LIBRARY, "--mapped", LIBRARY)
        self.assertEqual((values["status"], values["mapped"]), ("signal", "1"))

    def test_nothing_is_mapped_into_a_static_program(self):
        small = self.compile("small", "int main(void) { return 0; }", "-static")
        values = self.launch("--hold", "0", "--preload", LIBRARY, "--mapped", LIBRARY, "--", small)
        self.assertEqual((values["status"], values["mapped"]), ("exit", "0"))
        self.assertNotIn("settled_rss_kib", values)


class Hold(LaunchTest):
    def test_at_every_way_to_end(self):
        for how in ("return", "exit", "_exit", "_Exit", "quick_exit", "err", "atexit", "exec", "close", "thread", "children"):
            with self.subTest(how):
                values = self.ending(how, "--hold", "0.01")
                self.assertEqual((values["status"], values["code"]), ("exit", "7"))
                self.assertGreater(int(values["settled_rss_kib"]), 0)
                self.assertGreater(int(values["settled_anonymous_kib"]), 0)

    def test_not_at_a_signal(self):
        values = self.ending("abort", "--hold", "0.01")
        self.assertEqual((values["status"], values["code"]), ("signal", str(int(signal.SIGABRT))))
        self.assertNotIn("settled_rss_kib", values)

    def test_sees_what_was_given_back(self):
        values = self.launch("--hold", "0.01", "--preload", LIBRARY, "--", self.compile("giving_back", GIVING_BACK))
        self.assertGreater(int(values["peak_rss_kib"]), 64 << 10)
        self.assertLess(int(values["settled_rss_kib"]), 32 << 10)

    def test_is_no_part_of_the_times(self):
        values = self.ending("return", "--hold", "3")
        self.assertLess(float(values["wall_s"]), 3)
        self.assertIn("settled_rss_kib", values)

    def test_outlasts_a_timer_and_the_limit_of_the_work(self):
        values = self.ending("alarm", "--hold", "2", "--timeout", "1.5")
        self.assertEqual((values["status"], values["code"]), ("exit", "7"))


class Count(LaunchTest):
    def test_is_exact(self):
        program = self.compile("counted", COUNTED, "-pthread", "-fno-builtin")
        few, many = (self.launch("--count", "--", program, str(rounds)) for rounds in (100, 1100))
        # 3 threads and a child of fork, 1000 rounds more each.
        for key, each in (("malloc_calls", 6), ("free_calls", 4), ("realloc_calls", 1)):
            self.assertEqual(int(many[key]) - int(few[key]), 4 * 1000 * each, key)


class Remains(LaunchTest):
    SLEEPERS = "sleep 600 & setsid sleep 601 & echo $! $$; sleep 602"

    def pids(self, process):
        return [int(pid) for pid in process.stdout.readline().split()]

    def assert_gone(self, pids):
        self.assertTrue(wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids)), pids)

    def end(self, process, report):
        report.close()
        process.communicate(timeout=60)

    def test_nothing_after_a_timeout(self):
        process, report = self.start_launch("--timeout", "0.5", "--", "sh", "-c", self.SLEEPERS)
        pids = self.pids(process)
        values = dict(line.split() for line in report)
        self.end(process, report)
        self.assertEqual((values["status"], values["code"], process.returncode), ("timeout", "9", 0))
        self.assert_gone(pids)

    def test_nothing_after_the_end(self):
        process, report = self.start_launch("--", "sh", "-c", "sleep 600 & setsid sleep 601 & echo $!")
        pids = self.pids(process)
        self.end(process, report)
        self.assertEqual(process.returncode, 0)
        self.assert_gone(pids)

    def test_nothing_when_launch_is_told_to_end(self):
        process, report = self.start_launch("--", "sh", "-c", self.SLEEPERS)
        pids = self.pids(process)
        process.terminate()
        values = dict(line.split() for line in report)
        self.end(process, report)
        self.assertEqual(process.returncode, 128 + signal.SIGTERM)
        self.assertEqual(values["status"], "signal")
        self.assert_gone(pids)

    def test_nothing_when_the_parent_dies(self):
        parent = ("import subprocess, sys, time\n"
                  f"subprocess.Popen([{LAUNCH!r}, '--report', '2', '--', 'sh', '-c', {self.SLEEPERS!r}])\n"
                  "time.sleep(600)\n")
        process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                   text=True, env=self.environment())
        pids = self.pids(process)
        process.kill()
        process.wait(60)
        process.stdout.close()
        self.assert_gone(pids)


if __name__ == "__main__":
    unittest.main()
