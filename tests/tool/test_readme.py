"""Every command of ours that a document shows in a ```sh block exists, with the subcommand and the options shown."""
import os
import re
import shlex
import subprocess
import unittest

from support import COMMAND, SOURCE_ROOT, shown

LANES = "build/tools/lanes"
EXAMPLE = "build/docs/examples/example_"


def commands(document):
    for line in "".join(shown(document, "sh")).splitlines():
        words = shlex.split(line, comments=True)
        while words and (words[0] == "$" or re.fullmatch(r"[A-Z_]+=.*", words[0])):
            words.pop(0)
        if words and words[0].startswith(("tools/", "build/")):
            yield line.strip(), words


class Readme(unittest.TestCase):
    document = "README.md"
    needed = ("tools/demo", "tools/check", LANES)

    def test_it_shows_commands(self):
        programs = [words[0] for _, words in commands(self.document)]
        for needed in self.needed:
            self.assertIn(needed, programs)

    def test_scripts_exist(self):
        for line, words in commands(self.document):
            if words[0].startswith("tools/"):
                with self.subTest(line):
                    self.assertTrue(os.access(os.path.join(SOURCE_ROOT, words[0]), os.X_OK), f"{words[0]} is no script here")

    def test_examples_exist(self):
        for line, words in commands(self.document):
            if words[0].startswith(EXAMPLE):
                with self.subTest(line):
                    source = os.path.join(SOURCE_ROOT, "docs/examples", words[0].removeprefix(EXAMPLE) + ".cpp")
                    self.assertTrue(os.path.exists(source), f"{source} is no example")

    def test_subcommands_and_options_exist(self):
        for line, words in commands(self.document):
            if words[0] != LANES:
                continue
            with self.subTest(line):
                # Only the words before the user's own command are ours.
                own = words[1:words.index("--")] if "--" in words else words[1:]
                options = [word for word in own if word.startswith("--")]
                names = [word for word in own if not word.startswith("-")][:1]
                run = subprocess.run([COMMAND, *names, "--help"], capture_output=True, text=True, check=False)
                self.assertEqual(run.returncode, 0, run.stderr)
                for option in options:
                    self.assertIn(option, run.stdout)


class Guide(Readme):
    document = "docs/lanes.md"
    needed = (EXAMPLE + "first_lane", LANES)


class Bench(Readme):
    document = "bench/README.md"
    needed = (LANES,)


class Traces(Readme):
    document = "docs/traces.md"
    needed = (LANES,)


if __name__ == "__main__":
    unittest.main()
