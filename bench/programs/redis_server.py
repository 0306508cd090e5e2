"""A redis-server on a unix socket in the current directory, and just enough of its protocol to talk to it."""
import os
import socket
import sys
import time

sys.dont_write_bytecode = True      # the folder of this file may be an installed, read-only one

import server  # noqa: E402

SOCKET = "redis.sock"               # relative: the path of a unix socket may be 107 characters at most


class Redis(server.Server):
    """with Redis(maxmemory="100mb", ...) as redis: redis.ask("SET", "a", "1")"""

    def __init__(self, pin=None, **settings):
        if os.path.exists(SOCKET):
            os.unlink(SOCKET)
        words = [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", value)]
        # Debian's redis-server links jemalloc: "system" needs a preload as well, to be the C library's malloc.
        super().__init__(["/usr/bin/redis-server", "--port", "0", "--unixsocket", SOCKET, "--save", "",
                          "--appendonly", "no", "--daemonize", "no", *words],
                         server.preload() or server.system_preload(), pin=pin)
        self.connection = self.lines = None

    def __enter__(self):
        super().__enter__()
        try:
            self.wait_until(self._answers)
        except BaseException:
            self.stop()
            raise
        return self

    def _answers(self):
        if not os.path.exists(SOCKET):
            return False
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.connection.connect(SOCKET)
        except ConnectionRefusedError:
            self.connection.close()
            return False
        self.lines = self.connection.makefile("rb")
        return self.ask("PING") == "PONG"

    def ask(self, *words):
        """Sends one command, gives its reply: str, int, list or None."""
        self.send([words])
        return self._reply()

    def send(self, commands):
        parts = []
        for words in commands:
            parts.append(b"*%d\r\n" % len(words))
            for word in words:
                data = word if isinstance(word, bytes) else str(word).encode()
                parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
        self.connection.sendall(b"".join(parts))

    def _reply(self):
        line = self.lines.readline()
        if not line.endswith(b"\r\n"):
            raise server.Failed("redis-server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise server.Failed(f"redis-server refused a command: {rest.decode()}")
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.lines.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return [self._reply() for _ in range(int(rest))]
        return rest.decode()

    def used_memory(self):
        """What Redis counts as in use; by malloc_usable_size, so it differs a little between allocators."""
        for line in self.ask("INFO", "memory").splitlines():
            if line.startswith("used_memory:"):
                return int(line.partition(":")[2])
        raise server.Failed("INFO memory has no used_memory")

    def wait_for_eviction(self, limit, timeout_s=60):
        """Redis evicts in time slices, so a command's memory is above the limit for a while after it has ended.

        The reply that tells so is itself memory, allocated after the eviction: hence a thousandth of tolerance."""
        deadline = time.monotonic() + timeout_s
        while self.used_memory() > limit * 1.001:
            if time.monotonic() > deadline:
                raise server.Failed(f"used_memory is above maxmemory after {timeout_s} s")
            time.sleep(0.01)
