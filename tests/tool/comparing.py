"""What the tests of compare and bench share: allocators that are bad on purpose, and a look at what a comparison leaves."""
import json
import os
import statistics

from support import ToolTest

ALLOCATORS = os.environ.pop("LANES_BAD_ALLOCATORS")
ROUNDS = 6      # the fewest that give an interval


def bad(name):
    """NAME=PATH of one of the allocators in tests/tool/allocators."""
    return f"{name}={os.path.join(ALLOCATORS, f'libbad_{name}.so')}"


def program(name):
    return os.path.join(ALLOCATORS, name)


class Row:
    """One row of a result in JSON."""

    def __init__(self, document):
        self.document = document
        self.series = {series["allocator"]: series for series in document["by_allocator"]}

    def failure(self, allocator):
        return self.series[allocator]["failure"]

    def values(self, allocator, key):
        return [run["values"][key] for run in self.series[allocator]["runs"] if key in run["values"]]

    def median(self, allocator, key):
        return statistics.median(self.values(allocator, key))

    def ratios(self, allocator, other, key):
        """Within rounds."""
        by_round = {run["round"]: run["values"] for run in self.series[other]["runs"]}
        return [run["values"][key] / by_round[run["round"]][key] for run in self.series[allocator]["runs"]
                if key in run["values"] and run["round"] in by_round]


class ComparingTest(ToolTest):
    """TMPDIR is a folder of the test's own, in which nothing may be left."""

    def setUp(self):
        self.scratch = self.path("scratch")
        os.makedirs(self.scratch, exist_ok=True)

    def tearDown(self):
        self.assertEqual(os.listdir(self.scratch), [], "files were left behind")

    def environment(self, **changes):
        return super().environment(TMPDIR=self.scratch, **changes)

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def document(self):
        return json.loads(self.read("result.json"))

    def row(self, name=None):
        rows = [row for group in self.document()["groups"] for row in group["rows"]]
        return Row(next(row for row in rows if name in (None, row["name"])))

    def compare(self, *command, options=(), allocators="system", rounds=2, hold="0", **more):
        return self.lanes("compare", "--quiet", "--hold", hold, "--runs", str(rounds), "--with", allocators,
                          "--json", self.path("result.json"), *options, "--", *command, **more)


def processes_with(text):
    """The ids of processes that have `text` in their command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
                if text in file.read():
                    found.append(int(pid))
        except OSError:
            pass
    return found


def sentences(run):
    """What was printed, without its line breaks."""
    return " ".join(run.stdout.split())
