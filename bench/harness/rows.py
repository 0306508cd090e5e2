"""The rows of the table "Numbers to reach" that one small program each can measure."""
from dataclasses import dataclass

from .measure import Run, interleave, key_values


@dataclass(frozen=True)
class Metric:
    key: str     # of the program's `key value` lines
    title: str
    limit: float = None  # met when value <= limit; None: shown, not judged
    form: str = "{:.0f}"
    over_system: bool = False  # the value less that of the system's allocator


@dataclass(frozen=True)
class Row:
    name: str
    tool: str  # spawn: the command prints the values; probe: the launcher does; step: the command starts its target
    command: tuple
    metrics: tuple
    runs: int = 0  # 0: as many as asked for


ROWS = (
    Row("instructions", "step", ("step",), (
        Metric("malloc_64", "warm malloc(64), instructions", 20),
        Metric("free_64", "warm local free of 64, instructions", 28),
        Metric("malloc_1024", "warm malloc(1024), instructions"),
        Metric("new_64", "warm operator new(64), instructions"),
        Metric("delete_sized_64", "warm sized delete of 64, instructions"),
        Metric("calloc_64", "warm calloc(1, 64), instructions"),
        Metric("realloc_same_64", "warm realloc to the same 64, instructions"),
        Metric("malloc_batch_64_mean", "mean of 128 x malloc(64), instructions", form="{:.1f}"),
        Metric("free_batch_64_mean", "mean of 128 x free in the same order", form="{:.1f}")), runs=1),
    Row("trivial", "spawn", ("row_trivial",), (
        Metric("anonymous_kib", "trivial process: anonymous RSS, KiB", 200),
        Metric("huge_kib", "trivial process: of that in huge pages, KiB")), runs=3),
    Row("true", "probe", ("/bin/true",), (
        Metric("exit_anonymous_kib", "/bin/true at exit: anonymous RSS, KiB", 200),
        Metric("system_calls", "system calls added to /bin/true", 9, over_system=True)), runs=1),
    Row("idle", "spawn", ("row_freed", "all"), (
        Metric("kept_percent", "200 MB freed in order, 2 s idle: RSS kept, %", 10, "{:.1f}"),
        Metric("peak_over_asked_percent", "200 MB in small blocks: peak RSS over asked, %", None, "{:.1f}")), runs=2),
    Row("idle-random", "spawn", ("row_freed", "all-random"), (
        Metric("kept_percent", "200 MB freed at random, 2 s idle: RSS kept, %", 10, "{:.1f}"),), runs=2),
    Row("scattered", "spawn", ("row_freed", "scattered"), (
        Metric("kept_percent", "95 % freed scattered, malloc_trim: RSS kept, %", 40, "{:.1f}"),
        Metric("trim_ms", "  that malloc_trim, ms", None, "{:.0f}")), runs=2),
    Row("threads", "spawn", ("row_threads",), (
        Metric("thread_kib", "64 threads x 28 sizes: KiB a thread", 64),
        Metric("left_kib", "  left after they exit, KiB", 2048)), runs=3),
    Row("realloc", "spawn", ("row_large", "realloc"), (
        Metric("milliseconds", "realloc 1..48 MB by 1 MB, written: CPU ms", 40, "{:.1f}"),
        Metric("faults", "  page faults")), runs=0),
    Row("calloc", "spawn", ("row_large", "calloc"), (
        Metric("milliseconds", "20 x calloc(64 MB), two pages touched: CPU ms", 1, "{:.2f}"),
        Metric("faults", "  page faults")), runs=0),
    Row("ring", "spawn", ("row_ring",), (
        Metric("peak_over_live", "one thread only frees, ring of 64 MB: peak/live", 1.3, "{:.2f}"),), runs=2),
    Row("ring-drained", "spawn", ("row_ring", "1500", "drained"), (
        Metric("peak_rss_mib", "the same, consumer never waits: peak RSS, MiB", None, "{:.0f}"),), runs=2),
)


def measure_row(row, launcher, allocators, runs, progress):
    command = [launcher.path(row.command[0]) if "/" not in row.command[0] else row.command[0], *row.command[1:]]

    def one_run(allocator):
        if row.tool == "step":
            preload = ["--preload", allocator.path] if allocator.path else []
            run = launcher.run("spawn", type(allocator)(allocator.name), command + preload)
        elif row.tool == "probe":
            run = launcher.run("probe", allocator, command, extra=["--syscalls"])
            return run
        else:
            run = launcher.run("spawn", allocator, command)
        return Run(key_values(run.output), run.output, run.failure)

    results = interleave(allocators, min(row.runs, runs) if row.runs else runs, False, one_run, progress, row.name)
    for allocator in allocators:
        if allocator.path:
            results.checks[allocator.name] = preload_check(launcher, allocator, row, command)
    return results


def preload_check(launcher, allocator, row, command):
    """Whether the library is in the maps of such a process when it ends; "" = it is."""
    if row.tool == "step":
        command = [launcher.path("row_trivial")]
    elif row.tool == "spawn" and row.name != "trivial":
        command = [launcher.path(row.command[0]), "none"] if row.name == "threads" else [launcher.path("row_trivial")]
    return mapped_check(launcher, allocator, command)


def mapped_check(launcher, allocator, command, **run_options):
    run = launcher.run("probe", allocator, command, extra=["--mapped", allocator.path], **run_options)
    if run.failure:
        return run.failure
    return "" if run.values.get("mapped") == 1.0 else "preload without effect"
