"""Runs programs for one case, with or without the preload, and keeps what is to be equal in both runs."""

import contextlib
import ctypes
import difflib
import hashlib
import os
import pathlib
import pwd
import random
import shutil
import signal
import socket
import subprocess
import time

import stats_file

PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
COMMAND_TIMEOUT = 100          # seconds; the slowest command takes about 15, so this much means that it hangs
START_TIMEOUT = 30             # seconds a server may take until it answers
ERROR_MARK = "lanes:"          # how every line begins that the allocator writes about an error


class Failed(Exception):
    """What went wrong, in words for the test log."""


def become_subreaper():
    """Makes orphans of this process our children, so that `end_orphans` can find every one of them."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)      # PR_SET_CHILD_SUBREAPER


def children():
    pids = []
    for task in pathlib.Path("/proc/self/task").iterdir():
        pids += map(int, (task / "children").read_text().split())
    return pids


def end_orphans():
    deadline = time.monotonic() + 10
    while (pids := children()) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def kill_group(process):
    """Ends a process that leads a group, and the group. The leader is not reaped yet, so the id is still its own."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def where_it_hangs(process):
    """Backtraces of the process and its children, as far as gdb is there and allowed to look."""
    pids = [process.pid]
    with contextlib.suppress(OSError):
        for pid in pids:
            pids += map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    text = []
    for pid in pids[:4]:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            trace = subprocess.run(["gdb", "-nx", "-batch", "-p", str(pid), "-ex", "thread apply all bt 12"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                   env={"PATH": PATH}, timeout=20, text=True, errors="replace").stdout
            text.append(f"--- process {pid}\n{tail(trace, 60)}")
    return "\n".join(text)


def tail(text, lines=15):
    return "\n".join(text.rstrip("\n").split("\n")[-lines:])


def free_port():
    """Below the range from which the kernel serves others, so that no other socket gets it before the server has it."""
    while True:
        port = random.SystemRandom().randrange(10_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def digest(data):
    """Short enough to print, long enough to differ."""
    if isinstance(data, pathlib.Path):
        data = data.read_bytes()
    if isinstance(data, str):
        data = data.encode()
    return f"{len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}"


class Run:
    """One run of a case. `directory` has the same path in both runs, so that paths in outputs are equal too."""

    def __init__(self, directory, preload=None, verify=True):
        self.directory = directory
        self.preload = preload
        self.verify = verify and preload is not None
        self.results = {}
        self.stats_path = directory.parent / "stats"
        self.stderr_path = directory.parent / "stderr"
        self.stderr_path.write_bytes(b"")
        if self.verify:
            stats_file.create(self.stats_path)

    # The account a program runs under, when the suite runs as root and the program refuses root.
    unprivileged = None

    def drop_root(self, *names):
        """Lets every further command run as the first of `names` that exists; does nothing when we are not root."""
        if os.geteuid() != 0:
            return
        for name in names:
            with contextlib.suppress(KeyError):
                entry = pwd.getpwnam(name)
                self.unprivileged = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
                os.chown(self.directory, entry.pw_uid, entry.pw_gid)
                break
        else:
            raise Failed(f"none of the users {', '.join(names)} exists")
        if self.preload:                       # a build directory may lie where only root can read
            copy = self.directory.parent / self.preload.name
            shutil.copyfile(self.preload, copy)
            copy.chmod(0o755)
            self.preload = copy

    def environment(self, extra=None):
        values = {"PATH": PATH, "HOME": str(self.directory), "TMPDIR": str(self.directory), "LC_ALL": "C.UTF-8",
                  "TZ": "UTC"}
        values.update(extra or {})
        if self.preload:
            values.update({k: v for k, v in os.environ.items() if k.startswith("LANES_")})
            values["LD_PRELOAD"] = str(self.preload)
        if self.verify:
            values["LANES_STATS"] = str(self.stats_path)
        return values

    def _popen(self, argv, env, **kinds):
        with open(self.stderr_path, "ab") as stderr:
            kinds.setdefault("stderr", stderr)
            return subprocess.Popen([str(a) for a in argv], cwd=self.directory, env=self.environment(env),
                                    start_new_session=True, **kinds, **(self.unprivileged or {}))

    def call(self, *argv, stdin=b"", env=None, timeout=COMMAND_TIMEOUT):
        """Runs a program to its end: CompletedProcess with bytes; whatever it wrote to stderr is looked through."""
        if isinstance(stdin, str):
            stdin = stdin.encode()
        process = self._popen(argv, env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            where = where_it_hangs(process)
            raise Failed(f"{argv[0]}: no end within {timeout} s: {' '.join(map(str, argv))}\n{where}") from None
        finally:
            kill_group(process)
        with open(self.stderr_path, "ab") as log:
            log.write(err)
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    def out(self, *argv, rc=0, **kinds):
        """Its stdout as text; any other exit code than `rc` fails the case."""
        done = self.call(*argv, **kinds)
        if done.returncode != rc:
            raise Failed(f"exit code {done.returncode}, expected {rc}: {' '.join(map(str, argv))}\n"
                         f"{tail(done.stdout.decode(errors='replace'))}\n{tail(done.stderr.decode(errors='replace'))}")
        return done.stdout.decode(errors="replace")

    def same(self, name, *argv, **kinds):
        """Runs a program whose stdout must be the same in both runs."""
        self.keep(name, self.out(*argv, **kinds))

    def keep(self, name, value):
        """A result that must be the same in both runs: text, number, path of a file, or bytes."""
        if name in self.results:
            raise Failed(f"the case keeps two results named {name!r}")
        self.results[name] = digest(value) if isinstance(value, (bytes, pathlib.Path)) else str(value)

    def check(self, condition, message):
        if not condition:
            raise Failed(message)

    def write(self, name, text):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    @contextlib.contextmanager
    def server(self, *argv, ready, env=None, stop=signal.SIGTERM):
        """Runs a server from the moment `ready()` holds to the end of the block; then asks it to stop, and insists."""
        process = self._popen(argv, env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + START_TIMEOUT
            while not ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    why = "does not answer" if process.poll() is None else f"ended with {process.returncode}"
                    raise Failed(f"{argv[0]} {why}\n{tail(self.stderr_path.read_text(errors='replace'))}")
                time.sleep(0.05)
            self.expect_loaded(process.pid)
            yield process
            process.send_signal(stop)
            try:
                code = process.wait(20)
            except subprocess.TimeoutExpired:
                raise Failed(f"{argv[0]} does not stop\n{where_it_hangs(process)}") from None
            self.check(code in (0, -stop), f"{argv[0]} ended with {code}\n"
                                           f"{tail(self.stderr_path.read_text(errors='replace'))}")
        finally:
            kill_group(process)

    def expect_loaded(self, pid):
        """The library is mapped in that process; what /proc says needs no cooperation from the library."""
        if self.preload and self.preload.name not in pathlib.Path(f"/proc/{pid}/maps").read_text():
            raise Failed(f"{self.preload.name} is not mapped in process {pid}")

    def expect_active(self, programs):
        """Each of `programs` has claimed a statistics slot, used memory, and none has counted an error."""
        errors = [line for line in self.stderr_path.read_text(errors="replace").split("\n")
                  if line.startswith(ERROR_MARK)]
        if errors:
            raise Failed("lines on stderr:\n" + "\n".join(errors[:10]))
        if not self.verify:
            return
        slots = stats_file.read(self.stats_path)
        for name in programs:
            names = {name, os.path.basename(os.path.realpath(shutil.which(name, path=PATH) or name))}
            mine = [slot for slot in slots if slot["program"] in names]
            if not mine:
                seen = ", ".join(sorted({slot["program"] for slot in slots})) or "none"
                raise Failed(f"no process named {name} has claimed a statistics slot (claimed by: {seen})")
            if not any(slot[counter] for slot in mine for counter in stats_file.ALLOCATIONS):
                raise Failed(f"{name} has loaded the library but allocated nothing from it")
        bad = [slot for slot in slots if slot["errors"]]
        if bad:
            raise Failed("; ".join(f"{s['program']} ({s['pid']}) counted {s['errors']} errors" for s in bad))


def differences(plain, preloaded):
    """What differs between the results of two runs, one text per result; empty when they agree."""
    found = []
    for name in dict.fromkeys([*plain, *preloaded]):
        a, b = plain.get(name), preloaded.get(name)
        if a == b:
            continue
        if a is None or b is None:
            found.append(f"{name}: only {'without' if b is None else 'with'} preload")
            continue
        lines = difflib.unified_diff(a.split("\n")[:20000], b.split("\n")[:20000], "without preload", "with preload",
                                     lineterm="", n=1)
        found.append(f"{name}:\n" + "\n".join(line[:300] for _, line in zip(range(20), lines)))
    return found
