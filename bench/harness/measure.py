"""One run of one command under one allocator, and interleaved rounds of many."""
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field

# Options of the allocators themselves must not leak from the caller's shell into the comparison.
ALLOCATOR_VARIABLES = ("LD_PRELOAD", "MALLOC_", "MIMALLOC_", "LANES_", "GLIBC_TUNABLES", "TCMALLOC_", "RPMALLOC_")


def clean_environment(extra=None):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ALLOCATOR_VARIABLES)}
    kept.update({"LC_ALL": "C", "TZ": "UTC"})
    kept.update(extra or {})
    return kept


@dataclass
class Run:
    """What one run gave: `failure` is empty or says how it ended."""
    values: dict = field(default_factory=dict)
    output: str = ""
    failure: str = ""


def key_values(text):
    values = {}
    for line in text.splitlines():
        parts = line.split()
        if len(parts) == 2:
            try:
                values[parts[0]] = float(parts[1])
            except ValueError:
                values[parts[0]] = parts[1]
    return values


def failure_of(values, accepted=(0,)):
    status, code = values.get("status", "unstarted"), int(values.get("code", -1))
    if status == "timeout":
        return "timeout"
    if status == "signal":
        return f"signal {code}"
    if status != "exit":
        return "not started"
    return "" if code in accepted else f"exit {code}"


class Launcher:
    """Runs commands through the programs in build/bench."""

    def __init__(self, bench_directory, timeout):
        self.directory = bench_directory
        self.timeout = timeout

    def path(self, program):
        for folder in ("instruments", "heap_rows", "workloads"):
            found = os.path.join(self.directory, folder, program)
            if os.path.exists(found):
                return found
        return os.path.join(self.directory, "instruments", program)

    def start(self, tool, allocator, command, preload=None, extra=(), **popen):
        """Starts `tool` (spawn or probe); gives the process and the reading end of its report."""
        reading, writing = os.pipe()
        argv = [self.path(tool), "--report", str(writing), "--timeout", str(self.timeout), *extra]
        library = allocator.path or preload
        if library:
            argv += ["--preload", library]
        process = subprocess.Popen(argv + ["--"] + command, pass_fds=(writing,), **popen)
        os.close(writing)
        return process, reading

    def run(self, tool, allocator, command, environment=None, directory=None, stdin=None, accepted=(0,), extra=(),
            keep_output=True):
        with open(stdin or os.devnull, "rb") as source:
            process, reading = self.start(
                tool, allocator, command, extra=extra, cwd=directory, stdin=source,
                stdout=subprocess.PIPE if keep_output else subprocess.DEVNULL, stderr=subprocess.PIPE,
                env=clean_environment(environment))
            output, errors = process.communicate()
        with os.fdopen(reading) as report:
            values = key_values(report.read())
        failure = failure_of(values, accepted)
        if failure:
            last = errors.decode(errors="replace").strip().splitlines()[-1:]
            failure += f": {last[0][:120]}" if last else ""
        return Run(values, (output or b"").decode(errors="replace"), failure)


class Progress:
    """What is being measured, on stderr; one line that is rewritten when stderr is a terminal."""

    def __init__(self):
        self.terminal = sys.stderr.isatty()
        self.started = time.monotonic()

    def say(self, text):
        minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
        line = f"[{minutes:02d}:{seconds:02d}] {text}"
        if self.terminal:
            print(f"\r\x1b[K{line[:150]}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def done(self):
        if self.terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class Results:
    """Runs by allocator, in rounds: the n-th run of each allocator stood beside the n-th of the others."""

    def __init__(self, allocators):
        self.runs = {a.name: [] for a in allocators}
        self.checks = {}  # allocator -> why its preload is not believed, or ""

    def failure(self, name):
        if self.checks.get(name):
            return self.checks[name]
        return next((run.failure for run in self.runs[name] if run.failure), "")

    def series(self, name, metric):
        return [run.values[metric] for run in self.runs[name]
                if not run.failure and isinstance(run.values.get(metric), float)]

    def median(self, name, metric):
        values = self.series(name, metric)
        return statistics.median(values) if values and not self.failure(name) else None

    def ratio(self, name, other, metric):
        """Median over the rounds of this allocator's value by the other's in the same round."""
        if self.failure(name) or self.failure(other):
            return None
        pairs = zip(self.series(name, metric), self.series(other, metric))
        ratios = [a / b for a, b in pairs if b > 0]
        return statistics.median(ratios) if ratios else None


def interleave(allocators, rounds, warm_up, one_run, progress, title):
    """A B C, B C A, C A B: one_run(allocator) -> Run. An allocator that fails is not run again."""
    results = Results(allocators)
    for round_number in range(-1 if warm_up else 0, rounds):
        shift = max(round_number, 0) % len(allocators)
        for allocator in allocators[shift:] + allocators[:shift]:
            if results.failure(allocator.name):
                continue
            what = "warm-up" if round_number < 0 else f"run {round_number + 1}/{rounds}"
            progress.say(f"{title}: {allocator.name}, {what}")
            run = one_run(allocator)
            if round_number >= 0 or run.failure:
                results.runs[allocator.name].append(run)
    return results
