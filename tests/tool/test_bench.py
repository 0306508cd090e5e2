"""lanes bench: manifests, rows, drivers, targets, and what it leaves; on suites of the tests' own and on those of the project."""
import json
import os
import signal
import subprocess
import unittest

from comparing import ComparingTest, bad, processes_with, program
from support import COMMAND, SOURCE_ROOT, wait_until

# Under a driver: a program that it starts itself, with the library that it is told, through the launcher that it is told.
DRIVER = """
import os, subprocess, sys
library, launch = os.environ["LANES_BENCH_PRELOAD"], os.environ["LANES_BENCH_LAUNCH"]
if "LD_PRELOAD" in os.environ:
    sys.exit("the driver itself was preloaded")
reading, writing = os.pipe()
options = ["--preload", library, "--mapped", library] if library else []
subprocess.run([launch, "--report", str(writing), *options, "--", *sys.argv[1:]], pass_fds=[writing], check=True,
               stdout=subprocess.DEVNULL)
os.close(writing)
values = dict(line.split() for line in os.fdopen(reading))
if library and values["mapped"] != "1":
    sys.exit("preload without effect")
print("peak_rss_kib", values["peak_rss_kib"])
print("answer 42")
print("not a value")
"""


def group(name, rows, kind="times_and_memory", targets=()):
    return {"name": name, "title": f"The suite {name}", "kind": kind, "targets": list(targets), "rows": rows}


def target(key, limit, **more):
    return {"key": key, "title": f"{key} of the test", "limit": limit, **more}


class BenchTest(ComparingTest):
    def suites(self, *groups):
        """A folder with these manifests, in a folder of its own."""
        folder = self.path(f"{self.id().rpartition('.')[2]}/suites")
        os.makedirs(folder, exist_ok=True)
        for one in groups:
            with open(os.path.join(folder, one["name"] + ".json"), "w", encoding="utf-8") as file:
                json.dump(one, file)
        return folder

    def bench(self, folder, *options, allocators="system", rounds=2):
        return self.lanes("bench", "--quiet", "--hold", "0", "--runs", str(rounds), "--with", allocators,
                          "--suites", folder, "--json", self.path("result.json"), *options)


class Rows(BenchTest):
    def test_quick_runs_the_short_forms(self):
        folder = self.suites(group("tiny", [
            {"name": "both", "title": "has a short form", "command": ["false"], "quick": [program("allocating"), "100"]},
            {"name": "long", "title": "has none", "command": ["false"]}]))
        run = self.lanes("bench", "--quick", "--with", "system", "--suites", folder, "--json", self.path("result.json"))
        self.assert_runs(run)
        document = self.document()
        self.assertEqual([row["name"] for row in document["groups"][0]["rows"]], ["both"])
        self.assertEqual(self.row().document["command"][1], "100")
        self.assertEqual(document["rounds"], 1)
        self.assertEqual(len(self.row().series["lanes"]["runs"]), 1)
        self.assert_fails(self.bench(folder, "--quick", "long"), 2, "'long'", "no short form")

    def test_says_beforehand_how_long_it_will_take(self):
        rows = [{"name": "short", "title": "", "command": ["true"]},
                {"name": "long", "title": "", "command": ["true"], "seconds": 600}]
        folder = self.suites({**group("tiny", rows), "seconds": 60})
        run = self.lanes("bench", "--hold", "0", "--runs", "2", "--with", "system", "--suites", folder)
        self.assert_runs(run)
        # Two allocators, two rounds and a warm-up, and one run that counts calls: seven runs a row.
        self.assertIn("lanes bench: 2 rows, 14 runs, about 1:17:00 under 2 allocators", run.stderr)
        self.assertIn(" left", run.stderr)
        self.assertIn("short: warm-up", run.stderr)

    def test_each_row_has_a_folder_with_its_input(self):
        script = self.write("make.py", "import os, sys\nopen('input', 'w').write(sys.argv[1])\n"
                            "assert os.listdir('.') == ['input']\n")
        check = "import os, sys; assert sys.stdin.read() == 'for all'; assert os.environ['MINE'] == 'yes'; " \
                "assert os.environ['LC_ALL'] == 'C'; print('done')"
        folder = self.suites(group("tiny", [
            {"name": "fed", "title": "", "prepare": ["{python}", script, "for all"], "stdin": "input",
             "environment": {"MINE": "yes"}, "command": ["{python}", "-c", check], "compare_output": True}]))
        self.assert_runs(self.bench(folder))
        for allocator in ("lanes", "system"):
            self.assertEqual(self.row().failure(allocator), "", self.row().document)
        self.assertEqual(self.row().document["command"][0], "python3")

    def test_input_that_cannot_be_made(self):
        folder = self.suites(group("tiny", [
            {"name": "unfed", "title": "", "prepare": ["sh", "-c", "echo no room >&2; exit 4"], "command": ["true"]},
            {"name": "next", "title": "", "command": ["true"]}]))
        self.assert_runs(self.bench(folder))
        self.assertIn("its input could not be made: exit code 4", self.row("unfed").failure("system"))
        self.assertIn("no room", self.row("unfed").series["system"]["failure_output"])
        self.assertEqual(self.row("next").failure("system"), "")

    def test_missing_program_names_its_package(self):
        folder = self.suites(group("tiny", [
            {"name": "absent", "title": "", "command": ["no-such-program"], "package": "no-such-package"}]))
        run = self.bench(folder)
        self.assert_runs(run)
        self.assertIn("Debian package no-such-package", self.row().failure("lanes"))
        self.assertIn("no-such-package", run.stdout)

    def test_output_is_compared(self):
        folder = self.suites(group("tiny", [
            {"name": "differs", "title": "", "command": ["sh", "-c", "echo $LD_PRELOAD"], "compare_output": True}]))
        self.assert_runs(self.bench(folder))
        self.assertIn("output differs", self.row().failure("lanes"))

    def test_numbers_come_from_the_command(self):
        rows = [{"name": "counted", "title": "", "command": ["sh", "-c", "echo pages 12; echo kept 5; echo peak_rss_kib 7; echo a b c"],
                 "targets": [target("pages", 20), target("kept", 5, better="higher")], "rounds": 1}]
        run = self.bench(self.suites(group("numbers", rows, "numbers")), "--check")
        self.assert_runs(run)
        values = self.row().series["lanes"]["runs"][0]["values"]
        self.assertEqual((values["pages"], values["peak_rss_kib"]), (12, 7))
        self.assertEqual(len(self.row().series["lanes"]["runs"]), 1, "the row asks for one round only")
        self.assertIn("pages of the test", run.stdout)

    def test_driver_starts_the_program_itself(self):
        folder = self.suites(group("driven", [
            {"name": "driver", "title": "", "driver": True, "targets": [target("answer", 42)],
             "command": ["{python}", "{source}/driver.py", program("allocating"), "100"]}], "numbers"))
        with open(os.path.join(os.path.dirname(folder), "driver.py"), "w", encoding="utf-8") as file:
            file.write(DRIVER)
        self.assert_runs(self.bench(folder, "--check", allocators=f"system,{bad('leaking')}"))
        for allocator in ("lanes", "system", "leaking"):
            values = self.row().series[allocator]["runs"][0]["values"]
            self.assertEqual(set(values), {"peak_rss_kib", "answer"}, "only what the driver printed")

    def test_driver_that_compares_by_itself_runs_once(self):
        script = self.write("once.py", "import os\n"
                            "told = dict(one.split('=') for one in os.environ['LANES_BENCH_ALLOCATORS'].split(','))\n"
                            "assert os.path.samefile(told['lanes'], os.environ['LANES_BENCH_PRELOAD'])\n"
                            "assert told['system'] == '' and os.path.exists(told['leaking'])\n"
                            "print('round', os.environ['LANES_BENCH_ROUND'])\nprint('told', len(told))\n")
        rows = [{"name": "driver", "title": "", "driver": True, "once": True, "command": ["{python}", script],
                 "targets": [target("told", 3)]}]
        folder = self.suites(group("driven", rows, "numbers"))
        self.assert_runs(self.bench(folder, "--check", allocators=f"system,{bad('leaking')}"))
        self.assertEqual(list(self.row().series), ["lanes"])
        self.assertEqual(self.row().failure("lanes"), "")
        self.assertEqual(self.row().values("lanes", "round"), [1, 2])
        # Without lanes there is nothing to compare: the row is left out.
        self.assert_runs(self.bench(folder, "--no-lanes"))
        self.assertEqual(self.document()["groups"], [])

    def test_driver_says_what_went_wrong(self):
        folder = self.suites(group("driven", [
            {"name": "driver", "title": "", "driver": True,
             "command": ["sh", "-c", "echo first >&2; echo the server did not start >&2; exit 1"]}], "numbers"))
        self.assert_runs(self.bench(folder))
        self.assertEqual(self.row().failure("lanes"), "the server did not start")

    def test_crash_is_a_row_and_the_next_goes_on(self):
        folder = self.suites(group("tiny", [
            {"name": "first", "title": "", "command": [program("allocating")]},
            {"name": "second", "title": "", "command": [program("allocating"), "100"]}]))
        self.assert_runs(self.bench(folder, allocators=f"system,{bad('crashing')}"))
        self.assertEqual(self.row("first").failure("crashing"), "signal 6 (SIGABRT)")
        self.assertEqual(self.row("second").failure("crashing"), "")


class Check(BenchTest):
    def numbers(self, *targets, command=("sh", "-c", "echo pages 12")):
        return self.suites(group("numbers", [{"name": "counted", "title": "", "command": list(command),
                                              "targets": list(targets)}], "numbers"))

    def test_missed_target(self):
        folder = self.numbers(target("pages", 11))
        self.assert_runs(self.bench(folder, "--check"), 1)
        self.assert_runs(self.bench(folder), 0)

    def test_target_met(self):
        self.assert_runs(self.bench(self.numbers(target("pages", 12)), "--check"), 0)

    def test_lanes_that_fails_where_others_work(self):
        only_without = 'test -z "$LD_PRELOAD" && echo pages 12'
        self.assert_runs(self.bench(self.numbers(command=("sh", "-c", only_without)), "--check"), 1)


class From(BenchTest):
    def test_suites_of_later_files_are_put_into_the_first(self):
        counted = [{"name": "counted", "title": "", "command": ["sh", "-c", "echo pages 12"], "targets": [target("pages", 12)]}]
        files = {}
        for name in ("first", "second"):
            self.assert_runs(self.bench(self.suites(group(name, counted, "numbers")), rounds=1))
            files[name] = self.write(name + ".json", self.read("result.json"))
        merged = self.path("merged.json")
        run = self.lanes("bench", "--from", files["first"], "--from", files["second"], "--json", merged)
        self.assert_runs(run)
        self.assertIn("second: measured by itself", run.stdout)
        self.assertEqual([one["name"] for one in json.loads(self.read("merged.json"))["groups"]], ["first", "second"])
        # Into itself: one group is replaced, none is added.
        self.assert_runs(self.lanes("bench", "--from", merged, "--from", files["second"], "--json", merged))
        again = json.loads(self.read("merged.json"))
        self.assertEqual([one["name"] for one in again["groups"]], ["first", "second"])
        self.assertEqual(len([note for note in again["notes"] if "measured by itself" in note]), 1)


class Errors(BenchTest):
    def test_unknown_row_lists_the_names(self):
        folder = self.suites(group("tiny", [{"name": "known", "title": "", "command": ["true"]}]))
        self.assert_fails(self.bench(folder, "unknown"), 2, "'unknown'", "tiny: known")

    def test_selection_by_suite_row_and_both(self):
        folder = self.suites(group("a", [{"name": "one", "title": "", "command": ["true"]},
                                         {"name": "two", "title": "", "command": ["true"]}]),
                             group("b", [{"name": "one", "title": "", "command": ["true"]}]))
        for wanted, rows in ((["a"], ["one", "two"]), (["a/one"], ["one"]), (["two", "b"], ["two", "one"])):
            self.assert_runs(self.bench(folder, *wanted, rounds=1))
            self.assertEqual([row["name"] for one in self.document()["groups"] for row in one["rows"]], rows)

    def test_bad_manifests_say_where(self):
        known = {"name": "r", "title": "", "command": ["true"]}
        for change, texts in (({"rows": [{**known, "comand": ["x"]}]}, ('row "r"', '"comand"')),
                              ({"rows": [{**known, "command": "true"}]}, ('"command"', "list of texts")),
                              ({"rows": [{"title": "", "command": ["true"]}]}, ("row 1", '"name"')),
                              ({"rows": [{**known, "once": True}]}, ('row "r"', '"once"', "drivers")),
                              ({"rows": [{**known, "targets": [target("n", 1, better="more")]}]},
                               ('target 1 of row "r".better', '"higher"', '"more"')),
                              ({"rows": [{**known, "targets": [target("n", 1, better="neither")]}]}, ('"limit"', '"neither"')),
                              ({"rows": [{**known, "targets": [target("n", 1), target("n", 2, better="higher")]}]},
                               ('the targets of row "r"', '"n" is better "lower" in one place')),
                              ({"rows": [{**known, "seconds": 0}]}, ('"seconds"', 'row "r"', "above 0")),
                              ({"kind": "other"}, ('"kind"', "other"))):
            with self.subTest(change):
                folder = self.suites({**group("tiny", [known]), **change})
                self.assert_fails(self.bench(folder), 2, "tiny.json", *texts)
        with open(os.path.join(folder, "tiny.json"), "w", encoding="utf-8") as file:
            file.write("{")
        self.assert_fails(self.bench(folder), 2, "tiny.json", "not JSON")

    def test_folder_without_manifests(self):
        self.assert_fails(self.bench(self.suites()), 2, "no manifests")
        self.assert_fails(self.bench("/no/such/folder"), 2, "/no/such/folder")

    def test_file_that_is_no_result(self):
        path = self.write("other.json", "[1, 2]")
        self.assert_fails(self.lanes("bench", "--from", path), 2, path)
        self.assert_fails(self.lanes("bench", "--from", "/no/such/file"), 2, "/no/such/file")


class Interruption(BenchTest):
    def test_keeps_finished_rows_and_leaves_nothing(self):
        folder = self.suites(group("tiny", [
            {"name": "a-first", "title": "", "command": ["true"]},
            {"name": "b-long", "title": "", "prepare": ["sh", "-c", "echo x > file"], "command": ["sleep", "1002.5"]},
            {"name": "c-never", "title": "", "command": ["true"]}]))
        process = subprocess.Popen(
            [COMMAND, "bench", "--hold", "0", "--runs", "1", "--with", "system", "--suites", folder, "--json",
             self.path("result.json")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self.environment())
        self.addCleanup(process.kill)
        with process:
            self.assertTrue(wait_until(lambda: processes_with("sleep\0001002.5"), 60))
            process.send_signal(signal.SIGINT)
            stdout, _ = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 130)
        self.assertEqual(processes_with("sleep\0001002.5"), [])
        self.assertIn("a-first", stdout)
        self.assertTrue(self.document()["interrupted"])
        self.assertEqual([row["name"] for row in self.document()["groups"][0]["rows"]], ["a-first"])


@unittest.skipUnless(os.environ.get("LANES_WITH_BENCH"), "bench is not built")
class OwnSuites(BenchTest):
    def test_are_listed_and_well_formed(self):
        run = self.lanes("bench", "--list")
        self.assert_runs(run)
        for path in os.listdir(os.path.join(SOURCE_ROOT, "bench", "suites")):
            self.assertIn(path.removesuffix(".json") + ":", run.stdout)

    def test_every_number_has_its_direction(self):
        known = {"cpu_s", "wall_s", "user_s", "system_s", "peak_rss_kib", "settled_rss_kib", "page_faults"}
        for name in os.listdir(os.path.join(SOURCE_ROOT, "bench", "suites")):
            document = self.suite(name.removesuffix(".json"))
            for of in [document, *document["rows"]]:
                for one in of.get("targets", []):
                    self.assertTrue(one["key"] in known or "better" in one, f"{name}, {of['name']}: {one['key']}")

    def test_short_form_works(self):
        run = self.lanes("bench", "--quick", "--quiet", "--with", "system", "trivial", "random-500", "--json",
                         self.path("result.json"))
        self.assert_runs(run)
        for name in ("trivial", "random-500"):
            for series in self.row(name).series.values():
                self.assertEqual((series["failure"], len(series["runs"])), ("", 1), series)

    def test_every_contender_of_the_api_does_the_same_work(self):
        run = self.lanes("bench", "--quick", "--quiet", "lane", "--json", self.path("result.json"))
        self.assert_runs(run)
        rows = self.document()["groups"][0]["rows"]
        self.assertEqual(len(rows), len(self.suite("lane")["rows"]))
        for row in rows:
            (series,) = row["by_allocator"]
            with self.subTest(row["name"]):
                # A contender that fails, or whose checksum differs, is a failure of the row.
                self.assertEqual(series["failure"], "", series["failure_output"])
                values = series["runs"][0]["values"]
                missing = [one["key"] for one in row["targets"] if one["key"] not in values]
                self.assertEqual([key for key in missing if not self.is_absent(key)], [])

    def suite(self, name):
        with open(os.path.join(SOURCE_ROOT, "bench", "suites", name + ".json"), encoding="utf-8") as file:
            return json.load(file)

    def is_absent(self, key):
        """Whether a value is that of an allocator that is not installed here."""
        present = {facts["name"] for facts in self.document()["allocators"]}
        absent = {"mimalloc", "jemalloc", "tcmalloc"} - present
        return any(name in key for name in absent) or ("mi_heap" in key and "mimalloc" in absent)

    def test_the_committed_results_are_what_is_documented(self):
        documents = os.path.join(SOURCE_ROOT, "docs")
        names = ("results.md", "results-full.md", "results.svg", "results.json")
        self.assert_runs(self.lanes("bench", "--from", os.path.join(documents, "results.json"), "--markdown",
                                    self.path("results.md"), "--json", self.path("results.json")))
        for name in names:
            with open(os.path.join(documents, name), encoding="utf-8") as kept:
                text = kept.read()
            # Not assertEqual, whose difference of two large texts takes minutes.
            self.assertTrue(self.read(name) == text, f"docs/{name} is made by: lanes bench --from docs/results.json "
                            "--json docs/results.json --markdown docs/results.md")
            if name == "results.md":
                self.assertLessEqual(len(text.splitlines()), 150)


if __name__ == "__main__":
    unittest.main()
