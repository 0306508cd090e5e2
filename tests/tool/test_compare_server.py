"""lanes compare --client: servers under load, and all that can be wrong with them. Loopback and unix sockets only."""
import socket
import sys
import unittest

from comparing import ComparingTest, processes_with, sentences

# On the port in argv[1].
HTTP = """
import http.server, socketserver, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'x' * 1000)
    def log_message(self, *words): pass
http.server.HTTPServer.server_bind = socketserver.TCPServer.server_bind  # its own asks for the name of the host
http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Answer).serve_forever()
"""
# Each answer is by a child that works for 0.1 s; one more process is large, and stays.
FORKING = """
import os, socketserver, sys, time
if os.fork() == 0:
    large = bytearray(b'1') * (40 << 20)
    time.sleep(1003)
class Answer(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline().strip(): pass
        end = time.process_time() + 0.1
        while time.process_time() < end: pass
        self.wfile.write(b'HTTP/1.0 200 OK\\r\\n\\r\\nx')
class Server(socketserver.ForkingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
Server(('127.0.0.1', int(sys.argv[1])), Answer).serve_forever()
"""


class Server(ComparingTest):
    def serve(self, script, client, *options, more=(), rounds=1):
        """Under the system's malloc alone, unless more is asked for; `script` finds in argv[1] a port that is free."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        return self.compare(sys.executable, "-c", script, str(self.port), *more, rounds=rounds, hold="0.1",
                            options=[text.replace("PORT", str(self.port)) for text in ("--client", client, *options)])

    def fetch(self, times):
        """A client of HTTP."""
        code = (f"import urllib.request\nfor i in range({times}): "
                "urllib.request.urlopen('http://127.0.0.1:PORT/').read()")
        return f'{sys.executable} -c "{code}"'

    def assert_measured(self, run, rounds=1, **least):
        self.assert_runs(run)
        for allocator in self.row().series:
            self.assertEqual(self.row().failure(allocator), "")
            for key in ("wall_s", "cpu_s", "peak_rss_kib", "settled_rss_kib"):
                self.assertEqual(len(self.row().values(allocator, key)), rounds, key)
                self.assertGreater(min(self.row().values(allocator, key)), least.get(key, 0), key)

    def test_http(self):
        run = self.serve(HTTP, self.fetch(50), rounds=2)
        self.assert_measured(run, rounds=2, peak_rss_kib=3000, settled_rss_kib=3000)
        self.assertEqual(set(self.row().series), {"lanes", "system"})
        self.assertIn("A server at the work of:", sentences(run))
        self.assertIn("wall time is the client's", sentences(run).lower())

    def test_readiness(self):
        for ready in ("PORT", "serving at last", "1s"):
            with self.subTest(ready):
                # Nobody can say how long it takes to listen after what it prints, or a second: so the client tries again.
                client = f"for i in $(seq 200); do {self.fetch(1)} && exit 0; sleep 0.1; done; exit 1"
                self.assert_measured(self.serve("print('serving at last', flush=True)\n" + HTTP, client, "--no-lanes",
                                                "--ready", ready))

    def test_redis_on_a_unix_socket(self):
        path = self.path("redis.sock")
        run = self.compare("redis-server", "--port", "0", "--unixsocket", path, "--save", "", hold="0.1", rounds=1,
                           options=("--client", f"redis-benchmark -s {path} -q -t set -n 5000", "--ready", path))
        self.assert_measured(run)
        self.assertIn("'redis-server'", sentences(run))
        self.assertEqual(processes_with(path), [])

    def test_work_of_several_processes_is_counted(self):
        run = self.serve(FORKING, self.fetch(4), "--no-lanes")
        self.assert_measured(run, cpu_s=0.3, peak_rss_kib=40 << 10, settled_rss_kib=40 << 10)

    def test_only_the_work_is_counted(self):
        run = self.serve("import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass\n" + HTTP,
                         self.fetch(1), "--no-lanes")
        self.assert_measured(run)
        self.assertLess(self.row().median("system", "cpu_s"), 0.4)

    def test_client_that_fails(self):
        run = self.serve(HTTP, "echo no such luck >&2; exit 3", "--no-lanes")
        self.assert_fails(run, 1, "the client failed: exit code 3", "no such luck")
        self.assertEqual(processes_with(f"\0{self.port}\0"), [])

    def test_client_that_hangs(self):
        run = self.serve(HTTP, "sleep 1003.5", "--no-lanes", "--timeout", "5")
        self.assert_fails(run, 1, "the client failed: timeout after 5 s")
        self.assertEqual(processes_with("sleep\0001003.5"), [])

    def test_server_that_ends_too_early(self):
        for script, how in (("raise SystemExit(4)", "before it was ready: exit code 4"),
                            ("import os\nif os.fork() == 0: os.setsid(); import time; time.sleep(1003)",
                             "before it was ready: its process 'python3")):
            with self.subTest(script):
                run = self.serve(script, "true", "--no-lanes", "--timeout", "20")
                self.assert_fails(run, 1, "the server ended " + how)
        run = self.serve(HTTP.replace("serve_forever", "handle_request"), self.fetch(1) + "; sleep 5", "--no-lanes")
        self.assert_fails(run, 1, "the server ended while the client was at work: exit code 0")

    def test_server_that_is_never_ready(self):
        run = self.serve("import time\ntime.sleep(1003)", "true", "--no-lanes", "--timeout", "2")
        self.assert_fails(run, 1, "not ready after 2 s: it listens on no socket")

    def test_server_that_does_not_end(self):
        """It is killed, and that is no failure: all is measured by then."""
        run = self.serve("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + HTTP, self.fetch(1),
                         "--no-lanes")
        self.assert_runs(run)
        self.assertEqual(processes_with(f"\0{self.port}\0"), [])

    def test_port_of_another_process(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = str(other.getsockname()[1])
            run = self.compare("sleep", "100", options=("--no-lanes", "--client", "true", "--ready", port))
        self.assert_fails(run, 1, f"another process listens on TCP port {port} already")

    def test_server_without_the_preload(self):
        """Its preload has no effect, which is seen in the running process."""
        run = self.serve("import os, sys\nos.execve(sys.executable, [sys.executable, '-c', sys.argv[2], sys.argv[1]], {})",
                         self.fetch(1), more=(HTTP,))
        self.assert_runs(run)
        self.assertIn("preload without effect", self.row().failure("lanes"))

    def test_wrong_usage(self):
        self.assert_fails(self.compare("true", options=("--ready", "80")), 2, "--client")
        self.assert_fails(self.compare("true", options=("--client", "true", "--ready", "70000")), 2, "70000", "port")


if __name__ == "__main__":
    unittest.main()
