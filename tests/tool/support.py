"""What the tests of the lanes command share: the command, small programs to run it on, a folder of their own."""
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
import unittest

# An absolute name chosen by the build; the command finds the library beside itself, so LANES_LIB stays unset.
COMMAND = os.environ.pop("LANES_COMMAND")
LIBRARY = os.environ.pop("LANES_LIBRARY")
SOURCE_ROOT = os.environ.pop("LANES_SOURCE_ROOT")
COMPILER = shlex.split(os.environ.pop("LANES_CC"))

ALLOCATING = r"""
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static void *kept[20000];
int main(int argc, char **argv) {
    for (int i = 0; i < 20000; ++i) memset(kept[i] = malloc(100), 1, 100);
    for (int i = 0; i < 20000; i += 2) free(kept[i]);
    if (argc > 1 && strcmp(argv[1], "_exit") == 0) _exit(5);
    if (argc > 1 && strcmp(argv[1], "kill") == 0) kill(getpid(), SIGKILL);
    if (argc > 1 && strcmp(argv[1], "wait") == 0) { puts("ready"); fflush(stdout); pause(); }
    return 0;
}
"""


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def shown(document, language):
    """What a document of ours shows in blocks of that language."""
    return re.findall(rf"^```{language}\n(.*?)^```", read(os.path.join(SOURCE_ROOT, document)), re.MULTILINE | re.DOTALL)


class ToolTest(unittest.TestCase):
    """One folder for each class, removed at its end."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="lanes-tool-test-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def environment(self, **changes):
        clean = {key: value for key, value in os.environ.items() if not key.startswith("LANES_") and key != "LD_PRELOAD"}
        return clean | changes

    def lanes(self, *arguments, stdin="", env=None, **variables):
        """Runs the command; the result has returncode, stdout and stderr."""
        return subprocess.run([COMMAND, *arguments], input=stdin, text=True, errors="replace", capture_output=True,
                              timeout=60, check=False, env=env or self.environment(**variables))

    def write(self, name, text, mode=0o755):
        path = self.path(name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def compile(self, name, text, *options):
        """A program from C text, made once."""
        path = self.path(name)
        if not os.path.exists(path):
            run = subprocess.run([*COMPILER, "-x", "c", "-O1", "-w", "-", "-o", path, *options], input=text, text=True,
                                 capture_output=True, check=False)
            self.assertEqual(run.returncode, 0, f"cannot compile {name}: {run.stderr}")
        return path

    def allocating(self):
        return self.compile("allocating", ALLOCATING)

    def start(self, *command, stdin=False, **variables):
        """A process in the background that has printed its line "ready"; ended at the end of the test."""
        process = subprocess.Popen(command, stdin=subprocess.PIPE if stdin else None, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, env=self.environment(**variables))
        if stdin:
            self.addCleanup(process.stdin.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        self.addCleanup(end, process)
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process

    def assert_fails(self, run, code, *texts):
        self.assertEqual(run.returncode, code, f"stdout: {run.stdout}\nstderr: {run.stderr}")
        for text in texts:
            self.assertIn(text, run.stderr)

    def assert_runs(self, run, code=0):
        self.assertEqual(run.returncode, code, f"stdout: {run.stdout}\nstderr: {run.stderr}")


def end(process):
    """Asks first: a killed `lanes run` could neither end its command nor remove its file."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def process_state(pid):
    """The letter of its state as `ps` shows it."""
    return read(f"/proc/{pid}/stat").rpartition(")")[2].split()[0]


def wait_until(condition, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return condition()
