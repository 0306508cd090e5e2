"""One server, started under the allocator that is measured, watched from outside, and ended whatever happens."""
import ctypes
import os
import signal
import subprocess
import sys
import time

START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 20
PR_SET_PDEATHSIG = 1

# The variables of allocators that the caller may have set would change what is measured.
ALLOCATOR_VARIABLES = ("LD_PRELOAD", "MALLOC_", "MIMALLOC_", "LANES_", "GLIBC_TUNABLES", "TCMALLOC_", "RPMALLOC_")
_libc = ctypes.CDLL(None)


class Failed(Exception):
    """Why there is no result, in words for the table."""


def preload():
    """The library that is measured, or an empty string for the system's own malloc."""
    return os.environ.get("LANES_BENCH_PRELOAD", "")


def system_preload():
    """For programs that link another allocator: the library that gives them the C library's own malloc."""
    beside = os.path.dirname(os.environ.get("LANES_BENCH_LAUNCH", ""))
    path = os.environ.get("LANES_BENCH_SYSTEM") or os.path.join(beside, "libsystem_malloc.so")
    if not os.path.exists(path):
        raise Failed(f"no library with the system's malloc at {path!r}: set LANES_BENCH_SYSTEM to libsystem_malloc.so "
                     "of the build folder, or LANES_BENCH_LAUNCH to the launcher beside it")
    return path


def environment(**more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ALLOCATOR_VARIABLES)}
    return {**kept, "LC_ALL": "C", "TZ": "UTC", **more}


def processors():
    """Processors (for the server, for its clients): different ones if there are two, so that they do not compete for time."""
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[:1], allowed[1:]) if len(allowed) > 1 else (allowed, allowed)


class Server:
    """with Server(command, library) as server: ...  `user` is a (uid, gid) to run as, `pin` a list of processors."""

    def __init__(self, command, library, user=None, pin=None, stop_signal=signal.SIGTERM):
        self.command, self.library, self.user, self.pin = command, library, user, pin
        self.stop_signal = stop_signal
        self.process = self.usage = None

    def __enter__(self):
        # The driver's caller may end it at any time: then the server goes too, and nothing is left behind.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        more = {"LD_PRELOAD": self.library} if self.library else {}
        who = {"user": self.user[0], "group": self.user[1], "extra_groups": []} if self.user else {}
        self.process = subprocess.Popen(self.command, env=environment(**more), preexec_fn=self._in_child,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **who)
        return self

    def _in_child(self):
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if self.pin:
            os.sched_setaffinity(0, self.pin)

    def __exit__(self, *_):
        self.stop()

    def wait_until(self, ready):
        """Waits until ready() is true, then checks that the allocator is there."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not ready():
            if self._reap(os.WNOHANG):
                raise Failed(f"{self.command[0]} ended while it started")
            if time.monotonic() > deadline:
                raise Failed(f"{self.command[0]} did not answer within {START_TIMEOUT_S} s")
            time.sleep(0.02)
        if self.library:
            with open(f"/proc/{self.process.pid}/maps", encoding="utf-8") as maps:
                if os.path.realpath(self.library) not in maps.read():
                    raise Failed(f"preload without effect: {self.library} is not mapped in {self.command[0]}")

    def memory_kib(self, key):
        """A line of /proc/PID/status: VmRSS, VmHWM, VmPTE."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            for line in status:
                if line.startswith(key + ":"):
                    return int(line.split()[1])
        raise Failed(f"{self.command[0]} has ended")

    def cpu_s(self):
        """User and system time so far, of the server alone."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        """Ends the server; its times and faults, with those of its children, are in `usage` afterwards."""
        if self.usage is not None:
            return
        self.process.send_signal(self.stop_signal)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while not self._reap(os.WNOHANG):
            if time.monotonic() > deadline:
                self.process.kill()
                self._reap(0)
                return
            time.sleep(0.01)

    def _reap(self, how):
        if self.usage is None:
            pid, status, usage = os.wait4(self.process.pid, how)
            if pid == 0:
                return False
            self.process.returncode = os.waitstatus_to_exitcode(status)
            self.usage = usage
        return True


def report(values):
    for key, value in values.items():
        print(f"{key} {value:.6f}" if isinstance(value, float) else f"{key} {value}")


def driver(main):
    """Runs main(arguments); what goes wrong is one line on stderr and exit code 1."""
    try:
        main(sys.argv[1:])
    except Failed as problem:
        sys.exit(f"{os.path.basename(sys.argv[0])}: {problem}")
    except FileNotFoundError as problem:
        sys.exit(f"{os.path.basename(sys.argv[0])}: {problem.filename}: not found; is the program's package installed?")
    except KeyboardInterrupt:
        sys.exit(130)
