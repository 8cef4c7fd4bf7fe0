"""The program as a user runs it: `ringplane` from outside, by its command line,
its ports and its signals. Usage: serve_test.py PROGRAM [unittest's arguments].
"""

import collections
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

PROGRAM = ""
# Sanitizers and busy machines are slow; nothing here measures time.
PATIENCE = 300


def run(*arguments, stdin=None, env=None, **more):
    """Runs the program to its end."""
    return subprocess.run(
        [PROGRAM, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, **(env or {})},
        **more,
    )


class Serving:
    """A running `ringplane serve` on free ports."""

    def __init__(self, data, *flags, env=None, **more):
        self.process = subprocess.Popen(
            [
                PROGRAM,
                "serve",
                "--listen=127.0.0.1:0",
                "--admin=127.0.0.1:0",
                "--data=" + data,
                *flags,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
            **more,
        )
        self.log = []
        self.drain = threading.Thread(target=self._drain, daemon=True)
        self.drain.start()
        self.lines = []
        self.listen, self.admin, self.node = [], None, None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if line.startswith("listening on "):
                self.listen.append(line.split()[-1])
            elif line.startswith("cql node on "):
                self.node = line.split()[-1]
            elif line.startswith("admin on "):
                self.admin = line.split()[-1]
                break
        if self.admin is None:
            self.process.wait(PATIENCE)
            raise AssertionError("serve ended: " + "".join(self.log))

    def _drain(self):
        for line in self.process.stderr:
            self.log.append(line)

    def call(self, method, request, base=None, service="bsky.Service"):
        """A unary Connect call with JSON: (HTTP status, answer)."""
        url = f"{base or self.listen[0]}/{service}/{method}"
        return ask(url, json.dumps(request).encode(), "application/json")

    def get(self, path, headers=None):
        return ask(self.admin + path, headers=headers)

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.drain.join(PATIENCE)
        self.process.stderr.close()


def ask(url, body=None, content_type=None, headers=None):
    request = urllib.request.Request(url, data=body, headers=headers or {})
    if content_type:
        request.add_header("Content-Type", content_type)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            status, text = response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            status, text = error.code, error.read().decode()
    return status, json.loads(text) if text.startswith("{") else text


def expected_counts(path):
    """What a reader of the whole sample counts for each account."""
    posts = collections.Counter()
    following = collections.Counter()
    live = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)
            if event["kind"] != "commit":
                continue
            commit = event["commit"]
            key = (event["did"], commit["collection"], commit["rkey"])
            if commit["operation"] == "delete":
                live.pop(key, None)
            else:
                live[key] = commit["record"]
    for did, collection, _ in live:
        if collection == "app.bsky.feed.post":
            posts[did] += 1
        elif collection == "app.bsky.graph.follow":
            following[did] += 1
    return posts, following


class CommandLineTest(unittest.TestCase):
    def fails(self, status, text, *arguments):
        done = run(*arguments)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertTrue(done.stderr.startswith("ringplane: "), done.stderr)
        self.assertIn(text, done.stderr)

    def test_mistakes_are_one_line_and_status_2(self):
        self.fails(2, "no command")
        self.fails(2, "cook: unknown command", "cook")
        self.fails(2, "--lissten: unknown flag", "serve", "--lissten=x")
        self.fails(2, "--loops=many: not a valid value", "serve", "--loops=many")
        self.fails(2, "--listen=2510: ", "serve", "--listen=2510")
        self.fails(2, "--cql=nowhere: ", "serve", "--cql=nowhere")
        self.fails(2, "--shards=0: not between", "serve", "--shards=0")
        self.fails(2, "--io_backend=io_uring: not auto, uring or epoll",
                   "serve", "--io_backend=io_uring")
        self.fails(2, "--epoll_batch=0: not between 1 and 65536", "schema",
                   "--epoll_batch=0")
        self.fails(2, "--admin=0.0.0.0:0: ", "serve", "--admin=0.0.0.0:0")
        self.fails(2, "not a flag of generate, but of serve", "generate",
                   "--listen=127.0.0.1:0")
        self.fails(2, "no input", "ingest")
        self.fails(2, "--to=x: not http://host:port", "ingest", "-", "--to=x")
        self.fails(2, "--users: not between", "generate", "--users=0")
        self.fails(2, "unexpected argument x", "version", "x")
        self.fails(2, "--config=/none: No such file", "serve", "--config=/none")

    def test_failures_are_status_1(self):
        self.fails(1, "/none/there: No such file", "generate",
                   "--output=/none/there")
        self.fails(1, "/none: No such file", "ingest", "/none",
                   "--to=http://127.0.0.1:1")

    def test_help_and_version(self):
        for command in ("serve", "ingest", "generate", "schema"):
            done = run(command, "--help")
            self.assertEqual(done.returncode, 0)
            self.assertIn(f"Usage: ringplane {command}", done.stdout)
        done = run("serve", "--help")
        for flag in ("--listen=127.0.0.1:2510", "--admin=", "--cql=",
                     "--cql_username=", "--cql_password_file=", "--keyspace=",
                     "--read_consistency=", "--write_consistency=", "--data=",
                     "--shards=", "--redis=", "--loops=0", "--config="):
            self.assertIn("  " + flag, done.stdout)
        self.assertRegex(run("version").stdout, r"^ringplane \d+\.\d+\.\d+\n$")
        self.assertIn("serve", run("--help").stdout)

    def test_schema_is_a_script(self):
        done = run("schema", "--keyspace=mine", "--replication={'class': 'X'}")
        self.assertEqual(done.returncode, 0)
        self.assertIn("CREATE KEYSPACE IF NOT EXISTS mine WITH replication = "
                      "{'class': 'X'};\nUSE mine;", done.stdout)
        self.assertIn("CREATE TABLE IF NOT EXISTS records", done.stdout)

    def test_generate_is_the_same_each_time(self):
        flags = ("generate", "--users=20", "--events=500", "--seed=3")
        first = run(*flags)
        self.assertEqual(first.returncode, 0)
        self.assertEqual(first.stdout, run(*flags).stdout)
        self.assertEqual(first.stdout.count("\n"), 500)
        with tempfile.TemporaryDirectory() as folder:
            run(*flags, f"--output={folder}/out")
            with open(folder + "/out", encoding="utf-8") as file:
                self.assertEqual(file.read(), first.stdout)


class ServeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shared = tempfile.TemporaryDirectory()
        cls.sample = cls.shared.name + "/sample.jsonl"
        done = run("generate", "--users=20", "--events=700", "--seed=5",
                   "--output=" + cls.sample)
        assert done.returncode == 0, done.stderr

    @classmethod
    def tearDownClass(cls):
        cls.shared.cleanup()

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.data = self.folder.name + "/data"

    def serve(self, *flags, **more):
        serving = Serving(self.data, *flags, **more)
        self.addCleanup(serving.close)
        return serving

    def check_counts(self, serving):
        posts, following = expected_counts(self.sample)
        dids = sorted(set(posts) | set(following))
        status, answer = serving.call("GetCountsForUsers", {"dids": dids})
        self.assertEqual(status, 200, answer)
        for i, did in enumerate(dids):
            self.assertEqual(answer.get("posts", [0] * len(dids))[i],
                             posts[did], did)
            self.assertEqual(answer["following"][i], following[did], did)

    def test_serves_what_was_ingested_and_drains(self):
        serving = self.serve("--loops=2", "--listen=127.0.0.1:0,127.0.0.1:0")
        self.assertEqual(len(serving.listen), 2)
        self.assertEqual(serving.get("/readyz"), (200, "ready\n"))
        self.assertEqual(serving.get("/healthz"), (200, "ok\n"))

        for _ in range(2):  # Twice is once.
            done = run("ingest", self.sample, "--to=" + serving.admin)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("700 lines: 700 applied", done.stdout)
            self.check_counts(serving)

        posts, _ = expected_counts(self.sample)
        author = posts.most_common(1)[0][0]
        for base in serving.listen:
            status, feed = serving.call("GetAuthorFeed", {
                "actorDid": author, "limit": 5}, base)
            self.assertEqual(status, 200, feed)
            uris = [item["uri"] for item in feed["items"]]
            status, records = serving.call("GetPostRecords", {"uris": uris},
                                           base)
            self.assertEqual(status, 200, records)
            self.assertEqual(len(records["records"]), len(uris))
            self.assertTrue(all(r.get("record") for r in records["records"]))
        status, timeline = serving.call("GetTimeline", {
            "actorDid": author, "limit": 10})
        self.assertEqual(status, 200, timeline)
        self.assertGreater(len(timeline["items"]), 0)

        status, metrics = serving.get("/metrics")
        self.assertEqual(status, 200)
        for name in ("ringplane_loop_turns_total", "ringplane_rpc_total",
                     "ringplane_cql_connections", "ringplane_limit_hits_total",
                     "process_open_fds"):
            self.assertIn("\n" + name, metrics)

        self.assertEqual(serving.stop(), 0, "".join(serving.log))

    def test_admin_is_not_on_the_public_port(self):
        serving = self.serve("--loops=1")
        for path in ("/metrics", "/readyz"):
            self.assertEqual(ask(serving.listen[0] + path)[0], 404)
        status, _ = serving.call("IngestEvents", {}, service="ringplane.admin.v1.Admin")
        self.assertIn(status, (404, 501))
        # Nor bsky.Service on the admin port.
        status, _ = serving.call("Ping", {}, serving.admin)
        self.assertIn(status, (404, 501))
        self.assertEqual(serving.call("Ping", {})[0], 200)

    def test_data_outlives_a_kill(self):
        serving = self.serve("--loops=1")
        done = run("ingest", self.sample, "--to=" + serving.admin)
        self.assertEqual(done.returncode, 0, done.stderr)
        serving.process.kill()
        serving.process.wait()
        self.check_counts(self.serve("--loops=1"))

    def test_ingests_directly_and_resumes(self):
        cursor = self.folder.name + "/cursor"
        flags = ("ingest", self.sample, "--data=" + self.data,
                 "--cursor_file=" + cursor, "--cursor_interval=0",
                 "--batch_events_max=20")
        # Killed again and again in the middle of it, whatever it was doing.
        for _ in range(3):
            process = subprocess.Popen([PROGRAM, *flags],
                                       stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            before = os.stat(cursor).st_ino if os.path.exists(cursor) else 0
            deadline = time.monotonic() + PATIENCE
            while process.poll() is None and time.monotonic() < deadline:
                if os.path.exists(cursor) and os.stat(cursor).st_ino != before:
                    break
                time.sleep(0.002)
            process.kill()
            process.wait()
        done = run(*flags)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("resuming after line", done.stderr)
        self.check_counts(self.serve("--loops=1"))

    def test_a_signal_stops_ingest_with_its_cursor(self):
        serving = self.serve("--loops=1")
        cursor = self.folder.name + "/cursor"
        flags = ("ingest", "-", "--to=" + serving.admin,
                 "--cursor_file=" + cursor, "--cursor_interval=0")
        with open(self.sample, encoding="utf-8") as file:
            lines = file.readlines()
        process = subprocess.Popen([PROGRAM, *flags], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, text=True)
        process.stdin.write("".join(lines[:100]))
        process.stdin.flush()
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if os.path.exists(cursor):
                with open(cursor, encoding="utf-8") as file:
                    if "lines=100\n" in file.read():
                        break
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 1)
        self.assertIn("everything up to line 100", out)
        # The same stream from its start: what is done is passed over.
        done = run(*flags, stdin="".join(lines))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("resuming after line 100", done.stderr)
        self.check_counts(serving)

    def test_says_what_was_not_ingested(self):
        serving = self.serve("--loops=1")
        with open(self.sample, encoding="utf-8") as file:
            lines = file.readlines()[:4]
        text = lines[0] + "nonsense\n" + "".join(lines[1:])
        to = "--to=" + serving.admin
        done = run("ingest", "-", to, stdin=text)
        self.assertEqual(done.returncode, 1)
        self.assertIn("line 2: line: not JSON\n", done.stderr)
        self.assertIn("5 lines: 4 applied", done.stdout)
        self.assertIn("1 malformed", done.stdout)
        done = run("ingest", "-", to, "--strict", stdin=text)
        self.assertEqual(done.returncode, 1)
        self.assertIn("stopped at line 2, which is malformed", done.stderr)
        self.assertIn(" 1 applied", done.stdout)

    def test_one_process_at_a_time_has_the_data(self):
        self.serve("--loops=1")
        done = run("serve", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0",
                   "--data=" + self.data, "--loops=1", "--log_level=error")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertIn(self.data, done.stderr)

    def test_a_port_in_use_is_said(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            done = run("serve", "--listen=" + address, "--admin=127.0.0.1:0",
                       "--data=" + self.data, "--loops=1", "--log_level=error")
        self.assertEqual(done.returncode, 1)
        self.assertIn(address, done.stderr)
        self.assertIn("Address already in use", done.stderr)

    def test_a_store_that_is_not_there_is_said(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % free.getsockname()[1]
        done = run("serve", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0",
                   "--cql=" + address, "--cql_startup_timeout=10ms",
                   "--loops=1", "--log_level=error")
        self.assertEqual(done.returncode, 1)
        self.assertIn(address, done.stderr)

    def test_serves_another_processes_store(self):
        store = self.serve("--loops=1", "--keyspace=one")
        done = run("schema", "--apply", "--cql=" + store.node,
                   "--keyspace=two")
        self.assertEqual(done.returncode, 0, done.stderr)
        second = self.serve("--loops=2", "--cql=" + store.node,
                            "--keyspace=two")
        self.assertIsNone(second.node)
        done = run("ingest", self.sample, "--cql=" + store.node,
                   "--keyspace=two")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check_counts(second)
        # Without its tables a keyspace is refused, with what to do.
        done = run("serve", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0",
                   "--cql=" + store.node, "--keyspace=three", "--loops=1",
                   "--cql_startup_timeout=10ms", "--log_level=error")
        self.assertEqual(done.returncode, 1)
        third = self.serve("--loops=1", "--cql=" + store.node,
                           "--keyspace=three", "--create_schema")
        self.assertEqual(third.call("Ping", {})[0], 200)
        self.assertEqual(second.stop(), 0)
        self.assertEqual(third.stop(), 0)
        self.assertEqual(store.stop(), 0)

    def test_the_token_is_asked_for(self):
        token = self.folder.name + "/token"
        with open(token, "w", encoding="utf-8") as file:
            file.write("t0ken\n")
        serving = self.serve("--loops=1", "--admin=0.0.0.0:0",
                             "--admin_token_file=" + token)
        serving.admin = serving.admin.replace("0.0.0.0", "127.0.0.1")
        self.assertEqual(serving.get("/readyz")[0], 200)
        self.assertEqual(serving.get("/metrics")[0], 401)
        bearer = {"Authorization": "Bearer t0ken"}
        self.assertEqual(serving.get("/metrics", bearer)[0], 200)
        done = run("ingest", self.sample, "--to=" + serving.admin)
        self.assertEqual(done.returncode, 1)
        self.assertIn("token", done.stderr)
        done = run("ingest", self.sample, "--to=" + serving.admin,
                   "--token_file=" + token)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_tells_the_service_manager(self):
        path = self.folder.name + "/notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(PATIENCE)
            serving = self.serve("--loops=1", env={"NOTIFY_SOCKET": path})
            self.assertEqual(manager.recv(100), b"READY=1")
            self.assertEqual(serving.stop(), 0)
            self.assertEqual(manager.recv(100), b"STOPPING=1")

    def test_drains_and_then_ends(self):
        serving = self.serve("--loops=2", "--drain_notice=1s")
        idle = http.client.HTTPConnection(serving.listen[0][7:])
        idle.connect()
        serving.process.send_signal(signal.SIGTERM)
        seen = None
        while serving.process.poll() is None:
            try:
                seen = serving.get("/readyz")
            except OSError:
                continue
            if seen[0] == 503:
                break
        self.assertEqual(seen, (503, "not ready: draining\n"))
        self.assertEqual(serving.process.wait(PATIENCE), 0)
        idle.close()

    def test_a_store_that_hangs_does_not_hold_up_the_end(self):
        store = self.serve("--loops=1", "--keyspace=one")
        second = self.serve("--loops=2", "--cql=" + store.node,
                            "--keyspace=one", "--drain_timeout=100ms",
                            "--cql_request_timeout=1h",
                            "--cql_heartbeat_timeout=1h",
                            "--default_deadline=1h", "--max_deadline=1h")
        store.process.send_signal(signal.SIGSTOP)
        call = http.client.HTTPConnection(second.listen[0][7:])
        call.request("POST", "/bsky.Service/GetActors",
                     '{"dids": ["did:plc:a"]}',
                     {"Content-Type": "application/json"})
        while "ringplane_rpc_in_flight 1\n" not in second.get("/metrics")[1]:
            time.sleep(0.01)
        self.assertEqual(second.stop(), 0, "".join(second.log))
        log = "".join(second.log)
        self.assertIn("calls were cut off", log)
        # It did not sit there until the store was given up.
        self.assertNotIn("the server does not answer", log)
        store.process.send_signal(signal.SIGCONT)
        call.close()

    def test_a_signal_ends_what_waits_for_a_store(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % free.getsockname()[1]
        store = "--cql=" + address
        for status, arguments in (
                (0, ("serve", store, "--listen=127.0.0.1:0",
                     "--admin=127.0.0.1:0", "--loops=1")),
                (0, ("serve", store, "--listen=127.0.0.1:0",
                     "--admin=127.0.0.1:0", "--loops=1", "--create_schema")),
                (1, ("ingest", self.sample, store)),
                (1, ("schema", "--apply", store))):
            process = subprocess.Popen(
                [PROGRAM, *arguments, "--cql_startup_timeout=1h"],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            for line in process.stderr:
                if "does not answer yet" in line:
                    break
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE)
            self.assertEqual(process.returncode, status, arguments)

    def test_a_request_with_too_many_keys_is_counted(self):
        serving = self.serve("--loops=1", "--keys_max=2")
        status, answer = serving.call("GetPostRecords", {"uris": ["a"] * 3})
        self.assertEqual(status, 400)
        self.assertEqual(answer["code"], "invalid_argument")
        while True:  # A scrape is a copy of a moment ago.
            metrics = serving.get("/metrics")[1]
            if 'ringplane_limit_hits_total{limit="keys"} 1\n' in metrics:
                break
            time.sleep(0.01)
        self.assertEqual(metrics.count("# HELP ringplane_limit_hits_total"), 1)

    def test_a_second_signal_ends_it_at_once(self):
        serving = self.serve("--loops=1", "--drain_notice=1h")
        serving.process.send_signal(signal.SIGINT)
        while not any("draining" in line for line in serving.log):
            time.sleep(0.01)
        self.assertEqual(serving.stop(signal.SIGINT), 1)

    def test_flags_from_a_file(self):
        config = self.folder.name + "/flags"
        with open(config, "w", encoding="utf-8") as file:
            file.write("# A server.\nloops=1\n--strict\nlog_level=debug\n")
        serving = self.serve("--config=" + config)
        self.assertIn("1 loop, ", serving.lines[-3])
        self.assertEqual(serving.stop(), 0)


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main()
