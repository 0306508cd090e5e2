"""lanes options, --version and --help."""
import json
import os
import re
import subprocess
import unittest

from support import COMMAND, SOURCE_ROOT, ToolTest, read


def names_in_the_source():
    return re.findall(r'\{option_id::\w+, "(LANES_\w+)"', read(os.path.join(SOURCE_ROOT, "src/config/options.cpp")))


class Options(ToolTest):
    def test_all_are_listed(self):
        run = self.lanes("options")
        self.assert_runs(run)
        self.assertEqual(run.stderr, "")
        self.assertGreater(len(names_in_the_source()), 5)
        for name in names_in_the_source():
            self.assertRegex(run.stdout, rf"(?m)^{name} ")

    def test_value_of_the_environment_is_shown(self):
        run = self.lanes("options", LANES_ON_ERROR="warn", LANES_VERBOSE="on")
        self.assertRegex(run.stdout, r"LANES_ON_ERROR +warn +abort ")
        self.assertRegex(run.stdout, r"LANES_VERBOSE +1 +0 ")
        self.assertEqual(run.stderr, "")

    def test_typo_gets_the_nearest_name(self):
        run = self.lanes("options", LANES_ON_EROR="warn")
        self.assert_runs(run)
        self.assertIn("LANES_ON_EROR is no option", run.stderr)
        self.assertIn("LANES_ON_ERROR", run.stderr)

    def test_bad_value_is_named_with_what_is_accepted(self):
        run = self.lanes("options", LANES_PURGE_SHARE="0", LANES_ON_ERROR="explode")
        self.assert_runs(run)
        self.assertIn("LANES_PURGE_SHARE is '0'", run.stderr)
        self.assertIn("1..1024", run.stderr)
        self.assertIn("explode", run.stderr)
        self.assertIn("abort|warn|ignore", run.stderr)
        self.assertRegex(run.stdout, r"LANES_PURGE_SHARE +16 +16 ")

    def test_json(self):
        run = self.lanes("options", "--json", LANES_ON_ERROR="ignore")
        rows = {row["name"]: row for row in json.loads(run.stdout)}
        self.assertEqual(list(rows), names_in_the_source())
        self.assertEqual(rows["LANES_ON_ERROR"]["value"], "ignore")
        self.assertEqual(rows["LANES_ON_ERROR"]["choices"], ["abort", "warn", "ignore"])
        self.assertEqual(rows["LANES_PURGE_SHARE"]["range"], [1, 1024])
        for row in rows.values():
            self.assertTrue(row["meaning"])
            self.assertTrue(row["when"])

    def test_page_of_the_documentation_is_what_is_printed(self):
        run = self.lanes("options", "--markdown", LANES_ON_ERROR="ignore", LANES_PURGE_SHARE="4")
        self.assert_runs(run)
        self.assertEqual(run.stdout, read(os.path.join(SOURCE_ROOT, "docs/options.md")),
                         "write it again: build/tools/lanes options --markdown > docs/options.md")
        rows = [line.split(" | ") for line in run.stdout.splitlines() if line.startswith("| `")]
        self.assertEqual([row[0].strip("| `") for row in rows], names_in_the_source())
        self.assertEqual({len(row) for row in rows}, {6})

    def test_json_of_a_value_that_is_not_utf_8(self):
        environment = self.environment()
        environment["LANES_STATS"] = b"/tmp/\xff\xfe"
        run = self.lanes("options", "--json", env=environment)
        self.assert_runs(run)
        json.loads(run.stdout)


class Help(ToolTest):
    def test_version(self):
        run = self.lanes("--version")
        self.assert_runs(run)
        self.assertRegex(run.stdout, r"^lanes \d+\.\d+\.\d+$")

    def test_help_names_every_subcommand_and_an_example(self):
        run = self.lanes("--help")
        self.assert_runs(run)
        for name in ("run", "doctor", "options", "stats"):
            self.assertIn(f"  lanes {name} ", run.stdout)
            self.assert_runs(self.lanes(name, "--help"))

    def test_wrong_usage(self):
        self.assert_fails(self.lanes(), 2, "--help")
        self.assert_fails(self.lanes("stats"), 2, "--help")

    def test_unknown_command_gets_the_nearest_name(self):
        for typed, meant in (("stat", "stats"), ("rnu", "run"), ("docter", "doctor"), ("option", "options")):
            self.assert_fails(self.lanes(typed, "x"), 2, f"lanes: no command '{typed}'; did you mean '{meant}'?")
        run = self.lanes("something-else")
        self.assert_fails(run, 2, "no command 'something-else'", "lanes --help")
        self.assertNotIn("did you mean", run.stderr)

    def test_unknown_option_gets_the_nearest_name(self):
        for arguments, code, meant in ((["--versoin"], 2, "--version"), (["stats", "--jsn", "1"], 2, "--json"),
                                       (["run", "--sumary", "--", "true"], 125, "--summary"),
                                       (["compare", "--run=3", "--", "true"], 2, "--runs"),
                                       (["record", "--trace", "--x", "--limt", "1", "--", "true"], 125, "--limit")):
            run = self.lanes(*arguments)
            self.assert_fails(run, code, "no option '--", f"; did you mean '{meant}'?", "--help")
            self.assertEqual(len(run.stderr.splitlines()), 1)
        self.assertNotIn("did you mean", self.lanes("options", "--something-else").stderr)


class FullDisk(ToolTest):
    """Output that cannot be written is an error of the command, said in one line."""

    def onto_full_disk(self, *arguments):
        with open("/dev/full", "w", encoding="utf-8") as full:
            return subprocess.run([COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
                                  check=False, env=self.environment())

    def test_is_an_error_of_every_command_that_prints(self):
        process = self.start(COMMAND, "run", "--exec", "--", self.allocating(), "wait")
        pid = str(process.pid)
        for arguments, code in ((["--help"], 2), (["--version"], 2), (["run", "--help"], 125), (["options"], 2),
                                (["options", "--json"], 2), (["options", "--markdown"], 2), (["doctor", "true"], 2),
                                (["doctor", pid], 2), (["stats", pid], 2), (["stats", "--json", pid], 2),
                                (["bench", "--list"], 2)):
            with self.subTest(arguments):
                run = self.onto_full_disk(*arguments)
                self.assert_fails(run, code, "cannot write the output: No space left on device")
                self.assertEqual(len(run.stderr.splitlines()), 1, run.stderr)

    def test_of_the_summary(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            for arguments, code in ((["run", "--summary", "--", "true"], 125), (["run", "--", "sh", "-c", "exit 6"], 6),
                                    (["run", "--", self.compile("static", "int main(void) { return 4; }", "-static")], 4),
                                    (["no-such-command"], 2)):
                run = subprocess.run([COMMAND, *arguments], stderr=full, timeout=60, check=False, env=self.environment())
                self.assertEqual(run.returncode, code, arguments)

    def test_of_a_report(self):
        for option in ("--json", "--markdown", "--html"):
            run = self.lanes("compare", "--runs", "1", "--hold", "0", "--with", "system", option, "/dev/full", "--", "true")
            self.assertNotEqual(run.returncode, 0)
            self.assertIn("cannot write '/dev/full': No space left on device", run.stderr)


if __name__ == "__main__":
    unittest.main()
