"""lanes compare: that it tells slow from fast and large from small, and nothing from noise; failures, errors, the end."""
import os
import re
import signal
import subprocess
import sys
import unittest

from comparing import ROUNDS, ComparingTest, bad, processes_with, program, sentences
from support import COMMAND, LIBRARY, wait_until


LISTENING = "import socket, time\nlistener = socket.create_server(('127.0.0.1', 0))\ntime.sleep(1003)"


class Verdict(ComparingTest):
    def assert_ranked(self, run, row, key):
        ratios = row.ratios("slow" if key != "peak_rss_kib" else "leaking", "plain", key)
        self.assertEqual(len(ratios), ROUNDS)
        self.assertGreater(min(ratios), 1.5, run.stdout)

    def test_slow_allocator_is_slower_with_confidence(self):
        run = self.compare(program("allocating"), rounds=ROUNDS, allocators=f"{bad('plain')},{bad('slow')}",
                           options=("--no-lanes", "--reference", "plain"))
        self.assert_runs(run)
        self.assert_ranked(run, self.row(), "cpu_s")
        self.assertRegex(sentences(run), r" slow needs [\d.]+x \([\d.]+\.\.[\d.]+\) the CPU time")
        self.assertNotIn("too few", run.stdout)

    def test_leaking_allocator_is_larger_with_confidence(self):
        run = self.compare(program("allocating"), rounds=ROUNDS, allocators=f"{bad('plain')},{bad('leaking')}",
                           options=("--no-lanes", "--reference", "plain"), hold="0.05")
        self.assert_runs(run)
        self.assert_ranked(run, self.row(), "peak_rss_kib")
        settled = self.row().ratios("leaking", "plain", "settled_rss_kib")
        self.assertEqual(len(settled), 3, "held in the first three rounds")
        self.assertGreater(min(settled), 1.5)
        self.assertRegex(sentences(run), r" leaking needs [\d.]+x [^:]*\([\d.]+\.\.[\d.]+\) the peak RSS of plain\.")

    def test_noise_ranks_nobody(self):
        """The program is slow in every second run: the same allocator under two names wins one round and loses the next."""
        one, other = bad("plain"), bad("plain").replace("plain=", "copy=")
        counter = self.path("runs")
        run = self.compare(program("alternating"), counter, rounds=ROUNDS, allocators=f"{one},{other}",
                           options=("--no-lanes", "--reference", "plain"))
        self.assert_runs(run)
        ratios = self.row().ratios("copy", "plain", "cpu_s")
        self.assertLess(min(ratios), 0.7)
        self.assertGreater(max(ratios), 1.4)
        self.assertRegex(sentences(run), r"copy and plain cannot be told apart in CPU time \(measured [\d.]+x \([\d.]+\.\.[\d.]+\)\)")
        self.assertNotRegex(sentences(run), r"copy needs|plain needs|least")
        self.assertRegex(run.stdout, r"copy\s+[\d.]+  ~[\d.]+ \([\d.]+\.\.[\d.]+\)")

    def test_too_few_rounds_are_said(self):
        run = self.compare(program("allocating"), rounds=2)
        self.assert_runs(run)
        self.assertIn("too few", run.stdout)


class Measuring(ComparingTest):
    def test_every_run_has_its_numbers_and_round(self):
        run = self.compare(program("allocating"), rounds=2, hold="0.05")
        self.assert_runs(run)
        row = self.row()
        for allocator in ("lanes", "system"):
            self.assertEqual([one["round"] for one in row.series[allocator]["runs"]], [1, 2])
            for key in ("wall_s", "user_s", "system_s", "cpu_s", "peak_rss_kib", "page_faults", "settled_rss_kib"):
                self.assertEqual(len(row.values(allocator, key)), 2, key)
            self.assertGreater(row.median(allocator, "peak_rss_kib"), 300)
        document = self.document()
        self.assertEqual(document["reference"], "system")
        self.assertEqual([one["name"] for one in document["allocators"]], ["lanes", "system"])
        own, _, command = document["made_by"].partition(" -- ")
        self.assertIn("lanes compare --quiet", own)
        self.assertIn("--json result.json", own, "reports show no path of this machine")
        self.assertEqual(command, program("allocating"))

    def test_malloc_calls_are_counted(self):
        self.assert_runs(self.compare(program("allocating"), "20000"))
        # 20,000 of its own in a few milliseconds.
        self.assertGreater(self.row().document["malloc_calls_per_s"], 10000)

    def test_a_program_that_hardly_allocates_is_marked(self):
        spinning = self.compile("spinning", "int main(void) { for (volatile int i = 0; i < 50000000; ++i); return 0; }")
        run = self.compare(spinning)
        self.assert_runs(run)
        self.assertLess(self.row().document["malloc_calls_per_s"], 10000)
        self.assertIn("hardly calls malloc", run.stdout)

    def test_stdin_is_given_to_every_run(self):
        run = self.compare("sh", "-c", 'test "$(cat)" = "for everybody"', stdin="for everybody\n")
        self.assert_runs(run)
        self.assertEqual({one["failure"] for one in self.row().series.values()}, {""})

    def test_output_is_not_shown(self):
        run = self.compare("sh", "-c", "echo from stdout; echo from stderr >&2")
        self.assert_runs(run)
        # Both are in the command line that is shown.
        self.assertEqual(re.findall(r"^from std", run.stdout + run.stderr, re.MULTILINE), [])

    def test_environment_of_the_caller_steers_no_allocator(self):
        run = self.compare("sh", "-c", 'test -z "$MALLOC_ARENA_MAX$MIMALLOC_VERBOSE$GLIBC_TUNABLES" && test "$KEPT" = 1',
                           MALLOC_ARENA_MAX="1", MIMALLOC_VERBOSE="1", GLIBC_TUNABLES="glibc.malloc.check=1", KEPT="1")
        self.assert_runs(run)
        self.assertIn("MALLOC_ARENA_MAX", run.stdout)

    def test_progress_goes_to_stderr(self):
        run = self.lanes("compare", "--hold", "0", "--runs", "2", "--with", "system", "--", "true")
        self.assert_runs(run)
        for text in ("warm-up", "round 1 of 2", "round 2 of 2"):
            self.assertIn(text, run.stderr)
        self.assertNotIn("round 1 of", run.stdout)
        self.assertNotIn("\x1b", run.stderr + run.stdout)

    def test_says_the_version_of_each_allocator_and_where_it_is_from(self):
        given = f"system,leaking-9.8.7={bad('leaking').partition('=')[2]},{bad('slow')}"
        self.assert_runs(self.lanes("compare", "--hold", "0", "--runs", "1", "--with", given, "--json", self.path("result.json"),
                                    "--markdown", self.path("report.md"), "--", program("allocating"), "10"))
        facts = {one["name"]: one for one in self.document()["allocators"]}
        self.assertEqual((facts["leaking-9.8.7"]["version"], facts["leaking-9.8.7"]["origin"]), ("9.8.7", "built from source"))
        self.assertEqual((facts["slow"]["version"], facts["slow"]["origin"]), ("", "built from source"))
        self.assertEqual(facts["system"]["origin"], "Debian package libc6")
        self.assertRegex(self.read("report.md"), r"\| leaking-9.8.7 +\| 9.8.7 +\| built from source +\|")

    def test_program_that_links_another_allocator_runs_on_the_system_malloc(self):
        linked = self.compile("linked", "#include <stdio.h>\n#include <string.h>\nint main(void) {\n"
                              "    char line[4096]; int found = 0;\n    FILE *maps = fopen(\"/proc/self/maps\", \"r\");\n"
                              "    while (fgets(line, sizeof line, maps)) found |= strstr(line, \"libsystem_malloc\") != 0;\n"
                              "    return found ? 0 : 3;\n}\n", "-Wl,--no-as-needed", "-l:libjemalloc.so.2")
        self.assert_runs(self.compare(linked, options=("--no-lanes",)))


class Failures(ComparingTest):
    def test_crash_is_a_row(self):
        run = self.compare(program("allocating"), allocators=f"system,{bad('crashing')}")
        self.assert_runs(run)
        self.assertEqual(self.row().failure("crashing"), "signal 6 (SIGABRT)")
        self.assertEqual(self.row().failure("system"), "")
        self.assertIn("SIGABRT", run.stdout)

    def test_hang_is_a_row(self):
        command = (program("allocating"), "20013")  # a number that tells ours from those of other tests
        run = self.compare(*command, allocators=f"system,{bad('hanging')}", options=("--timeout", "3"))
        self.assert_runs(run)
        self.assertEqual(self.row().failure("hanging"), "timeout after 3 s")
        self.assertEqual(len(self.row().series["lanes"]["runs"]), 2)
        self.assertEqual(processes_with("\0".join(command)), [])

    def test_preload_without_effect_is_a_failure(self):
        run = self.compare(program("static_program"), allocators=f"system,{bad('plain')}")
        self.assert_runs(run)
        for allocator in ("lanes", "plain"):
            self.assertIn("preload without effect", self.row().failure(allocator))
            self.assertEqual(self.row().series[allocator]["runs"], [])
        self.assertEqual(len(self.row().series["system"]["runs"]), 2)

    def test_command_that_fails_everywhere(self):
        run = self.compare(program("allocating"), "1", "7")
        self.assert_fails(run, 1, "ends with exit code 7, as asked", "under every allocator", "exit code 7")
        self.assertEqual(run.stdout, "")

    def test_exit_code_can_be_ignored(self):
        self.assert_runs(self.compare(program("allocating"), "1", "7", options=("--ignore-exit-code",)))
        self.assertEqual(len(self.row().series["lanes"]["runs"]), 2)

    def test_same_output_is_demanded_on_request(self):
        command = ("sh", "-c", 'test -n "$LD_PRELOAD" && echo preloaded; echo always')
        self.assert_runs(self.compare(*command))
        self.assertEqual(self.row().failure("lanes"), "")
        self.assert_runs(self.compare(*command, options=("--same-output",)))
        self.assertIn("output differs", self.row().failure("lanes"))
        self.assertEqual(self.row().failure("system"), "")


    def test_preload_that_does_not_reach_the_work(self):
        spinning = self.compile("at_work", "#include <time.h>\nint main(void) { while (clock() < CLOCKS_PER_SEC / 4)\n"
                                "    for (volatile int i = 0; i < 100000; i++) {} }")
        self.assert_runs(self.compare("sh", "-c", f"env -i {spinning}; true"))
        self.assertRegex(self.row().failure("lanes"), r"preload without effect: \d+ % of the CPU time is .* env -i")
        self.assertEqual(self.row().failure("system"), "")
        self.assert_runs(self.compare("sh", "-c", f"{spinning}; true"))
        self.assertEqual(self.row().failure("lanes"), "")

    def test_command_that_goes_into_the_background(self):
        run = self.compare("sh", "-c", "setsid sleep 1003.25 &", options=("--no-lanes",))
        self.assert_fails(run, 1, "'sleep' goes on in the background", "foreground", "--client")
        self.assertEqual(processes_with("sleep\0001003.25"), [])

    def test_limit_of_a_server_says_what_to_do(self):
        run = self.compare(sys.executable, "-c", LISTENING, options=("--no-lanes", "--timeout", "4"))
        self.assert_fails(run, 1, "timeout after 4 s", "listens on TCP port", "--client")

    def test_server_without_a_limit_is_recognised(self):
        run = self.compare(sys.executable, "-c", LISTENING, options=("--no-lanes",))
        self.assert_fails(run, 1, "does not end by itself", "listens on TCP port", "--client")


class OneProcess(ComparingTest):
    """The report says whose the memory is."""

    def test_largest_is_the_command(self):
        run = self.compare(program("allocating"), hold="0.05")
        self.assert_runs(run)
        self.assertIn("Peak and settled RSS are of one process, the largest, 'allocating'.", sentences(run))

    def test_largest_ends_before_the_command(self):
        large = self.compile("large", "#include <stdlib.h>\n"
                             "int main(void) { volatile char *block = malloc(20 << 20);\n"
                             "    for (int i = 0; i < 20 << 20; i += 4096) block[i] = 1; return 0; }")
        run = self.compare("sh", "-c", f"{large}; true", hold="0.05",
                           options=("--markdown", self.path("report.md"), "--html", self.path("page.html")))
        self.assert_runs(run)
        for text in (sentences(run), self.read("report.md"), self.read("page.html")):
            self.assertRegex(text, "largest single process, ('|&#39;)large('|&#39;)[.] Its settled RSS is unknown")
        self.assertEqual(self.row().values("lanes", "settled_rss_kib"), [])
        self.assertEqual(len(self.row().values("lanes", "peak_rss_kib")), 2)


class Errors(ComparingTest):
    def test_unknown_name_lists_what_is_installed(self):
        run = self.compare("true", allocators="system,jemaloc")
        self.assert_fails(run, 2, "'jemaloc'", "installed here", "system (glibc")

    def test_path_that_is_no_library(self):
        path = self.write("text.so", "no library\n")
        self.assert_fails(self.compare("true", allocators=path), 2, path, "no ELF file", "installed here")

    def test_path_that_is_not_there(self):
        self.assert_fails(self.compare("true", allocators="mine=/no/such/library.so"), 2, "/no/such/library.so")

    def test_library_that_does_not_load(self):
        self.compile("libneeded.so", "int needed;", "-shared", "-fPIC")
        path = self.compile("needing.so", "extern int needed; void *malloc(unsigned long n) { return needed + (char *)n; }",
                            "-shared", "-fPIC", "-x", "none", self.path("libneeded.so"))
        os.rename(self.path("libneeded.so"), self.path("gone.so"))
        self.assert_fails(self.compare("true", allocators=path), 2, "does not load", "libneeded.so")

    def test_library_without_malloc(self):
        path = self.compile("empty.so", "int nothing;", "-shared", "-fPIC")
        self.assert_fails(self.compare("true", allocators=path), 2, "defines no malloc")

    def test_two_of_one_name(self):
        self.assert_fails(self.compare("true", allocators=f"{bad('plain')},{bad('plain')}"), 2, "two allocators", "'plain'")

    def test_reference_that_takes_no_part(self):
        self.assert_fails(self.compare("true", options=("--reference", "jemalloc")), 2, "jemalloc", "lanes, system")

    def test_programs_that_cannot_run(self):
        self.assert_fails(self.compare("no-such-program"), 127, "no-such-program")
        self.assert_fails(self.compare(self.write("plain", "#!/bin/sh\n", 0o644)), 126, "not executable")

    def test_script_without_interpreter(self):
        self.assert_fails(self.compare(self.write("script", "echo hello\n")), 126, "not started")

    def test_wrong_usage(self):
        self.assert_fails(self.lanes("compare"), 2, "no command")
        self.assert_fails(self.lanes("compare", "--runs", "0", "--", "true"), 2, "--runs")
        self.assert_fails(self.lanes("compare", "cppcheck", "-q", "file"), 2, "behind --")

    def test_file_that_cannot_be_written_is_found_before_measuring(self):
        run = self.compare("sleep", "100", options=("--html", "/no/such/folder/page.html"))
        self.assert_fails(run, 2, "/no/such/folder/page.html")


class Interruption(ComparingTest):
    def interrupt(self, duration, awaited, number):
        """Sends a signal once stderr has said `awaited`; the sleep's length tells our processes from all others."""
        process = subprocess.Popen(
            [COMMAND, "compare", "--hold", "0", "--runs", "50", "--with", "system", "--json", self.path("result.json"),
             "--", "sh", "-c", f"sleep {duration} & sleep {duration}; wait"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment())
        self.addCleanup(process.kill)
        with process:
            for line in process.stderr:
                if awaited in line:
                    break
            self.assertTrue(wait_until(lambda: processes_with(f"sleep\0{duration}")))
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=30)
        self.assertEqual(processes_with(f"sleep\0{duration}"), [])
        return process.returncode, stdout, stderr

    def test_keeps_what_is_finished(self):
        for number, code, duration in ((signal.SIGINT, 130, "0.10203"), (signal.SIGTERM, 143, "0.10204")):
            with self.subTest(number):
                returncode, stdout, stderr = self.interrupt(duration, "round 3 of", number)
                self.assertEqual(returncode, code, stderr)
                self.assertIn("nterrupted", stdout)
                self.assertTrue(self.document()["interrupted"])
                for allocator in ("lanes", "system"):
                    self.assertIn(len(self.row().series[allocator]["runs"]), (2, 3))

    def test_nobody_reads_the_progress(self):
        """As in `lanes compare ... 2>&1 | head`: it ends, and what it has in TMPDIR goes all the same."""
        process = subprocess.Popen([COMMAND, "compare", "--hold", "0", "--with", "system", "--", "sleep", "0.1"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env=self.environment())
        self.addCleanup(process.kill)
        self.addCleanup(process.stdout.close)
        while "round 2 of" not in process.stderr.readline():
            self.assertIsNone(process.poll())
        process.stderr.close()
        self.assertIn("nterrupted", process.stdout.read())
        self.assertEqual(process.wait(30), 128 + signal.SIGPIPE)

    def test_before_anything_is_finished(self):
        returncode, stdout, stderr = self.interrupt("1001.5", "warm-up", signal.SIGINT)
        self.assertEqual(returncode, 130)
        self.assertEqual(stdout, "")
        self.assertIn("nothing to show", stderr)


class Reports(ComparingTest):
    def test_all_forms_are_written(self):
        run = self.compare(program("allocating"), options=("--markdown", self.path("report.md"), "--html", self.path("page.html")))
        self.assert_runs(run)
        for name in ("report.md", "page.html"):
            self.assertIn("allocating", self.read(name))
        self.assertTrue(self.read("page.html").lstrip().lower().startswith("<!doctype html>"))

    def test_json_can_be_shown_again(self):
        first = self.compare(program("allocating"))
        again = self.lanes("bench", "--from", self.path("result.json"), "--json", self.path("again.json"))
        self.assert_runs(again)
        self.assertEqual(again.stdout, first.stdout)
        self.assertEqual(self.read("again.json"), self.read("result.json"))

    def test_library_is_found_beside_the_command(self):
        self.assert_runs(self.compare("true"))
        lanes = self.document()["allocators"][0]
        self.assertEqual((lanes["name"], lanes["file"]), ("lanes", os.path.basename(LIBRARY)))


if __name__ == "__main__":
    unittest.main()
