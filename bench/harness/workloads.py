"""Our own allocation-heavy programs with their parameters: CPU time, peak RSS and faults of each."""
from dataclasses import dataclass

from .measure import interleave, key_values
from .rows import mapped_check


@dataclass(frozen=True)
class Workload:
    name: str
    program: str
    operations: int  # scaled down by --quick
    parameters: tuple = ()
    small: bool = False  # live data under about 1 MB: judged by what the allocator itself needs


WORKLOADS = (
    Workload("server-churn", "server_churn", 150000, ("threads=2", "slots=2000", "generations=60")),
    Workload("cross-thread-free", "cross_thread_free", 60000, ("pairs=1",)),
    Workload("cross-thread-free-2", "cross_thread_free", 25000, ("pairs=2", "least=8", "most=1024")),
    Workload("changing-size", "changing_size", 40000, ("threads=2",), small=True),
    Workload("random-500", "random_live", 25000000, ("live=500",), small=True),
    Workload("random-10k", "random_live", 18000000, ("live=10000",)),
    Workload("random-100k", "random_live", 7000000, ("live=100000",)),
    Workload("phases", "phases", 1, ("megabytes=40",)),
    Workload("binary-trees", "binary_trees", 60, ("depth=16",)),
    Workload("containers", "containers", 6),
    Workload("ast", "ast_build", 40),
    Workload("large-64k-4m", "large_buffers", 25000),
    Workload("large-5m-25m", "large_buffers", 400, ("live=4", "least=5120", "most=25600")),
    Workload("thread-churn", "thread_churn", 8000),
    Workload("big-integers", "bigint", 4000000, small=True),
    Workload("false-sharing-own", "false_sharing", 20000, ("threads=2", "style=0"), small=True),
    Workload("false-sharing-handed", "false_sharing", 20000, ("threads=2", "style=1"), small=True),
    Workload("vector-growth", "vector_growth", 9000000),
    Workload("fifo-queue", "fifo_queue", 12000000),
    Workload("two-lifetimes", "two_lifetimes", 600000),
    Workload("small-words", "small_words", 2500, small=True),
    Workload("small-settings", "small_settings", 8000, small=True),
)


def measure_workload(workload, launcher, allocators, runs, scale, progress):
    command = [launcher.path(workload.program), f"operations={max(1, int(workload.operations * scale))}",
               *workload.parameters]

    def one_run(allocator):
        run = launcher.run("spawn", allocator, command)
        run.values["cpu_s"] = run.values.get("user_s", 0.0) + run.values.get("system_s", 0.0)
        run.values.update({k: v for k, v in key_values(run.output).items() if k != "checksum"})
        return run

    results = interleave(allocators, runs, True, one_run, progress, workload.name)
    compare_outputs(results, "checksum differs from the system's")
    for allocator in allocators:
        if allocator.path and not results.failure(allocator.name):
            results.checks[allocator.name] = mapped_check(
                launcher, allocator, [launcher.path(workload.program), "operations=1", *workload.parameters])
    return results


def compare_outputs(results, message):
    """The same work gives the same output under every allocator; the system's is taken as right."""
    expected = next((run.output for run in results.runs["system"] if not run.failure), None)
    for name, runs in results.runs.items():
        if any(expected is not None and not run.failure and run.output != expected for run in runs):
            results.checks[name] = message
