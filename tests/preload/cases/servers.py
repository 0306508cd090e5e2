"""nginx under load: static files, ranges, gzip made while serving, a reverse proxy in front of itself, reload."""

import gzip
import http.client
import os
import pathlib
import re
import signal
import time

import generate
from harness import Run, digest, free_port

CONFIGURATION = """
{user}
worker_processes 2;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
events {{ worker_connections 256; }}
http {{
    access_log {directory}/access.log;
    client_body_temp_path {directory}/t1; proxy_temp_path {directory}/t2; fastcgi_temp_path {directory}/t3;
    uwsgi_temp_path {directory}/t4; scgi_temp_path {directory}/t5;
    types {{ text/html html; text/plain txt; }}
    keepalive_requests 500;
    gzip on; gzip_comp_level 6; gzip_min_length 100; gzip_types text/plain;
    server {{
        listen 127.0.0.1:{port};
        root {directory}/site;
        location /proxy/ {{ proxy_pass http://127.0.0.1:{port}/; proxy_buffers 8 4k;
                             proxy_set_header Accept-Encoding ""; }}
        location /slices/ {{ alias {directory}/site/; slice 16k; }}
        location ~ ^/rewritten/(.*)$ {{ rewrite ^/rewritten/(.*)$ /$1 break; sub_filter abc ABC; sub_filter_once off;
                                        sub_filter_types *; }}
    }}
}}
"""
LOAD_SECONDS = 2


def _get(port, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Encoding"), answer.read()
    finally:
        connection.close()


def _workers(server):
    return pathlib.Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()


def _load(run: Run, port, path, *headers):
    said = run.out("wrk", "-t2", "-c16", f"-d{LOAD_SECONDS}s", "--timeout", "20s",
                   *(word for h in headers for word in ("-H", h)), f"http://127.0.0.1:{port}{path}")
    done = int(re.search(r"(\d+) requests in", said).group(1))
    run.check(done >= 16 and "Socket errors" not in said and "Non-2xx" not in said, f"wrk on {path} said\n{said}")


def nginx(run: Run):
    port = free_port()
    for n, size in enumerate((0, 10, 3000, 6000, 400000)):
        text = " ".join(generate.words(size, seed=n))
        run.write(f"site/page{n}.html", f"<p>{text}</p>")
        run.write(f"site/page{n}.txt", text)
    user = "user root;" if os.geteuid() == 0 else ""
    config = run.write("nginx.conf", CONFIGURATION.format(directory=run.directory, port=port, user=user))
    run.out("nginx", "-t", "-q", "-e", run.directory / "error.log", "-c", config)

    def answers():
        try:
            return _get(port, "/page1.txt")[0] == 200
        except OSError:
            return False

    command = ["nginx", "-e", run.directory / "error.log", "-c", config]
    with run.server(*command, ready=answers, stop=signal.SIGQUIT) as server:
        for worker in _workers(server):
            run.expect_loaded(worker)
        for path in [f"/page{n}.{kind}" for n in range(5) for kind in ("html", "txt")]:
            for prefix in ("", "/proxy", "/slices", "/rewritten"):
                status, _, body = _get(port, prefix + path)
                run.keep(f"{prefix}{path}", f"{status} {digest(body)}")
            status, encoding, body = _get(port, path, Accept_Encoding="gzip")
            plain = gzip.decompress(body) if encoding == "gzip" else body
            run.keep(f"{path} packed", f"{status} {encoding} {digest(plain)}")
            status, _, body = _get(port, path, Range="bytes=5-2000")
            run.keep(f"{path} part", f"{status} {digest(body)}")
        run.keep("absent", _get(port, "/absent")[0])
        _load(run, port, "/page2.txt")
        _load(run, port, "/page3.html", "Accept-Encoding: gzip")
        _load(run, port, "/proxy/page3.txt")
        before = _workers(server)
        server.send_signal(signal.SIGHUP)                 # new workers from the same master, the old ones end
        deadline = time.monotonic() + 20
        while set(before) & set(now := _workers(server)) or not now:
            run.check(time.monotonic() < deadline, "nginx kept its old workers after a reload")
            time.sleep(0.05)
        for worker in now:
            run.expect_loaded(worker)
        _load(run, port, "/rewritten/page3.txt", "Accept-Encoding: gzip")
        run.keep("afterwards", digest(_get(port, "/page4.html")[2]))
    errors = (run.directory / "error.log").read_text()
    run.check("exited on signal" not in errors and "lanes:" not in errors, f"nginx logged\n{errors}")
