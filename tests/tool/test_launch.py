"""The launcher and the library that watches a program's end: what they report, which process they hold, and that nothing is left behind."""
import os
import shutil
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


# Takes MEGABYTES; then runs the rest of its arguments, if any, in a child, or with "fork" only copies itself.
TAKING = r"""
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv) {
    size_t bytes = (size_t)atoi(argv[1]) << 20;
    memset(malloc(bytes), 1, bytes);
    if (argc > 2) {
        if (fork() == 0) {
            if (strcmp(argv[2], "fork") == 0) _exit(0);
            execvp(argv[2], argv + 2);
            _exit(127);
        }
        wait(NULL);
    }
    return 0;
}
"""

# Spins for MILLISECONDS of user time.
SPINNING = r"""
#include <stdlib.h>
#include <time.h>
int main(int argc, char **argv) {
    while (clock() * 1000 / CLOCKS_PER_SEC < atol(argv[1])) {
        for (volatile int i = 0; i < 100000; i++) {}
    }
    return 0;
}
"""

# Replaces itself by what its arguments say, in the way that the first one says; exit code 9 if that fails.
REPLACING = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
extern char **environ;
int main(int argc, char **argv) {
    char *how = argv[1], *file = argv[2], **rest = argv + 2;
    if (strcmp(how, "execve") == 0) execve(file, rest, environ);
    if (strcmp(how, "execv") == 0) execv(file, rest);
    if (strcmp(how, "execvp") == 0) execvp(file, rest);
    if (strcmp(how, "execvpe") == 0) execvpe(file, rest, environ);
    if (strcmp(how, "execl") == 0) execl(file, file, argv[3], argv[4], NULL);
    if (strcmp(how, "execlp") == 0) execlp(file, file, argv[3], argv[4], NULL);
    if (strcmp(how, "execle") == 0) execle(file, file, argv[3], argv[4], NULL, environ);
    if (strcmp(how, "fexecve") == 0) fexecve(open(file, O_RDONLY), rest, environ);
    if (strcmp(how, "execveat") == 0) execveat(AT_FDCWD, file, rest, environ, 0);
    return 9;
}
"""
WAYS_TO_REPLACE = ("execve", "execv", "execvp", "execvpe", "execl", "execlp", "execle", "fexecve", "execveat")


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


    def test_mapped_is_of_the_last_image(self):
        """What a wrapper had does not count for the program behind it."""
        replacing = self.compile("replacing", REPLACING)
        for how in WAYS_TO_REPLACE:
            with self.subTest(how):
                options = ("--hold", "0", "--preload", LIBRARY, "--mapped", LIBRARY, "--", replacing, how)
                values = self.launch(*options, "/bin/sh", "-c", "exit 5")
                self.assertEqual((values["code"], values["mapped"]), ("5", "1"))
                values = self.launch(*options, "/usr/bin/env", "-i", "/bin/true")
                self.assertEqual((values["code"], values["mapped"]), ("0", "0"))
                self.assertNotIn("settled_rss_kib", values, "of the image before")
                values = self.launch(*options, "/no/such/file", "a", "b")
                self.assertEqual((values["code"], values["mapped"]), ("9", "1"))
                self.assertIn("settled_rss_kib", values, "an exec that fails changes nothing")

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("setpriv"), "needs root, and setpriv of util-linux")
    def test_mapped_behind_dropped_rights(self):
        library = self.path("readable.so")
        shutil.copy(LIBRARY, library)
        os.chmod(self.folder, 0o755)
        os.chmod(library, 0o755)
        watch = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", "test", "-r", INSTRUMENTS + "/liblanes_watch.so"],
                               check=False)
        if watch.returncode != 0:
            self.skipTest("the build folder is closed to others")
        values = self.launch("--hold", "0", "--preload", library, "--mapped", library, "--", "setpriv", "--reuid", "65534",
                             "--clear-groups", "true")
        self.assertEqual((values["code"], values["mapped"]), ("0", "1"), values)
        self.assertIn("settled_rss_kib", values)


class Memory(LaunchTest):
    """Peak and settled RSS are of one process: the one with the largest peak."""

    def measure(self, *command):
        return self.launch("--hold", "0", "--", *command)

    def setUp(self):
        self.taking = self.compile("taking", TAKING)

    def test_of_a_command_that_is_the_largest(self):
        for rest in ([], ["true"], ["fork"], [self.taking, "20"]):
            with self.subTest(rest):
                values = self.measure(self.taking, "40", *rest)
                self.assertEqual((values["largest_process"], values["largest_ended_before"]), ("taking", "0"))
                self.assertGreater(int(values["settled_rss_kib"]), 40 << 10)
                self.assertGreaterEqual(int(values["peak_rss_kib"]), int(values["settled_rss_kib"]))

    def test_of_a_child_that_is_the_largest(self):
        for wrapper in (["sh", "-c", '"$@"; true', "sh"], [self.compile("small_taking", TAKING), "10"]):
            with self.subTest(wrapper):
                values = self.measure(*wrapper, self.taking, "40")
                self.assertEqual((values["largest_process"], values["largest_ended_before"]), ("taking", "1"))
                self.assertGreater(int(values["peak_rss_kib"]), 40 << 10)
                self.assertNotIn("settled_rss_kib", values)

    def test_of_a_child_that_is_not_seen(self):
        values = self.measure("sh", "-c", f"env -i {self.taking} 40; true")
        self.assertEqual((values["largest_process"], values["largest_ended_before"]), ("unknown", "1"))
        self.assertNotIn("settled_rss_kib", values)

    def test_of_an_orphan(self):
        values = self.measure("sh", "-c", f"setsid {self.taking} 40 & true")
        self.assertGreater(int(values["peak_rss_kib"]), 40 << 10)
        self.assertEqual(values["largest_process"], "taking")


class Time(LaunchTest):
    def setUp(self):
        self.spinning = self.compile("spinning", SPINNING)

    def test_of_children_and_orphans(self):
        for command in (f"{self.spinning} 300; true", f"setsid {self.spinning} 300 & true"):
            with self.subTest(command):
                self.assertGreater(float(self.launch("--", "sh", "-c", command)["user_s"]), 0.2)

    def test_that_the_preload_does_not_reach(self):
        for command, unseen in ((f"{self.spinning} 300", False), (f"env -i {self.spinning} 300", True)):
            with self.subTest(command):
                values = self.launch("--hold", "0", "--", "sh", "-c", command + "; true")
                self.assertEqual(float(values["unseen_user_s"]) > 0.2, unseen, values)
                self.assertEqual(float(values["seen_user_s"]) > 0.2, not unseen, values)

    def test_is_not_split_where_a_child_was_killed(self):
        values = self.launch("--hold", "0", "--", "sh", "-c", f"timeout -s KILL 0.2 {self.spinning} 5000; true")
        self.assertNotIn("unseen_user_s", values)


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
        values = dict(line.split() for line in report)
        self.end(process, report)
        self.assertEqual(process.returncode, 0)
        self.assertEqual((values["left_processes"], values["left_process"]), ("2", "sleep"))
        self.assert_gone(pids)

    def test_what_is_about_to_end_is_not_left(self):
        self.assertNotIn("left_processes", self.launch("--", "sh", "-c", "sleep 0.1 & setsid sleep 0.1 &"))

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
