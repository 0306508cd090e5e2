"""Every command of ours that README.md shows in a ```sh block exists, with the subcommand and the options shown."""
import os
import re
import shlex
import subprocess
import unittest

from support import COMMAND, SOURCE_ROOT

LANES = "build/tools/lanes"


def commands():
    with open(os.path.join(SOURCE_ROOT, "README.md"), encoding="utf-8") as file:
        blocks = re.findall(r"^```sh\n(.*?)^```", file.read(), re.MULTILINE | re.DOTALL)
    for line in "".join(blocks).splitlines():
        words = shlex.split(line, comments=True)
        while words and (words[0] == "$" or re.fullmatch(r"[A-Z_]+=.*", words[0])):
            words.pop(0)
        if words and words[0].startswith(("tools/", "build/")):
            yield line.strip(), words


class Readme(unittest.TestCase):
    def test_it_shows_commands(self):
        shown = [words[0] for _, words in commands()]
        for needed in ("tools/demo", "tools/check"):
            self.assertIn(needed, shown)

    def test_scripts_exist(self):
        for line, words in commands():
            if words[0].startswith("tools/"):
                with self.subTest(line):
                    self.assertTrue(os.access(os.path.join(SOURCE_ROOT, words[0]), os.X_OK), f"{words[0]} is no script here")

    def test_subcommands_and_options_exist(self):
        for line, words in commands():
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


if __name__ == "__main__":
    unittest.main()
