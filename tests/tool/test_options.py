"""lanes options, --version and --help."""
import json
import os
import re
import unittest

from support import SOURCE_ROOT, ToolTest


def names_in_the_source():
    with open(os.path.join(SOURCE_ROOT, "src/config/options.cpp"), encoding="utf-8") as file:
        return re.findall(r'\{option_id::\w+, "(LANES_\w+)"', file.read())


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
        self.assert_fails(self.lanes("rnu"), 2, "--help")
        self.assert_fails(self.lanes("stats"), 2, "--help")


if __name__ == "__main__":
    unittest.main()
