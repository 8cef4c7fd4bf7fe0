"""The program under hostile HTTP/2 clients, each with a healthy client beside
it. Usage: hostile_clients_test.py PROGRAM RSS_MIB [unittest's arguments];
RSS_MIB is what an attack may add to the resident memory, 0: not looked at.

An attack must end by what it sent, however long that takes; what the healthy
client waited is printed, not judged.
"""

import http.client
import itertools
import os
import re
import socket
import struct
import sys
import tempfile
import threading
import time
import unittest

import serve_test

RSS_MIB = 0
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONT = (
    range(10))
END_STREAM, END_HEADERS, PADDED = 1, 4, 8
ENHANCE_YOUR_CALM = 11


def frame(kind, flags, stream, payload=b""):
    return (struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) +
            struct.pack(">I", stream) + payload)


def text(value):
    """A string of HPACK, not Huffman-coded."""
    value = value.encode()
    if len(value) < 127:
        return bytes([len(value)]) + value
    head, rest = b"\x7f", len(value) - 127
    while rest >= 128:
        head += bytes([rest % 128 + 128])
        rest //= 128
    return head + bytes([rest]) + value


def literal(name, value, indexed=False):
    return (b"\x40" if indexed else b"\x00") + text(name) + text(value)


def request(*extra, method="Ping"):
    fields = [(":method", "POST"), (":scheme", "http"),
              (":path", "/bsky.Service/" + method), (":authority", "x"),
              ("content-type", "application/grpc+proto"), ("te", "trailers"),
              *extra]
    return b"".join(literal(*field) for field in fields)


def ids():
    return itertools.count(1, 2)


def number(value):
    return struct.pack(">I", value)


CALL = request()
OPEN = frame(HEADERS, END_HEADERS, 1, CALL)  # its body is still to come
READ = request(method="GetPostRecords")
BODY = b"\0\0\0\0\x05\x0a\x03at:"


def bomb():
    block = CALL + literal("a", "b" * 3900, indexed=True)
    for stream in ids():
        rest = block + b"\xbe" * 16000  # the newest entry, again and again
        yield (frame(HEADERS, END_STREAM, stream, rest[:16000]) +
               frame(CONT, END_HEADERS, stream, rest[16000:]))
        block = CALL


# Name: (steps, most steps before the end). A step is what one turn of the
# attack sends. The bound has room for what is on its way when the end is said.
ATTACKS = {
    "rapid reset": (
        (frame(HEADERS, END_HEADERS, i, READ) +
         frame(DATA, END_STREAM, i, BODY) + frame(RST, 0, i, number(8))
         for i in ids()), 1100),
    "rapid reset of what is answered": (
        (frame(HEADERS, END_HEADERS | END_STREAM, i, CALL) +
         frame(RST, 0, i, number(8)) for i in ids()), 1100),
    "made to reset by an overflown window": (
        (frame(HEADERS, END_HEADERS, i, CALL) +
         frame(WINDOW, 0, i, number(0x7fffffff)) for i in ids()), 200),
    "made to reset by upper case": (
        (frame(HEADERS, END_HEADERS | END_STREAM, i, request(("X-A", "b")))
         for i in ids()), 200),
    "CONTINUATION": (
        itertools.chain([frame(HEADERS, END_STREAM, 1, CALL)],
                        itertools.repeat(frame(CONT, 0, 1,
                                               literal("a", "b" * 100)))), 9),
    "empty CONTINUATION": (
        itertools.chain([frame(HEADERS, END_STREAM, 1, CALL)],
                        itertools.repeat(frame(CONT, 0, 1))), 9),
    "HPACK bomb": (bomb(), 1),
    "SETTINGS": (itertools.repeat(frame(SETTINGS, 0, 0)), 1000),
    "PING": (itertools.repeat(frame(PING, 0, 0, b"12345678")), 1000),
    "PRIORITY": (
        (frame(PRIORITY, 0, i, b"\0\0\0\0\x10") for i in ids()), 1000),
    "WINDOW_UPDATE": (
        itertools.repeat(frame(WINDOW, 0, 0, number(1))), 1000),
    "unknown frames": (itertools.repeat(frame(0xf3, 0, 0, b"junk")), 1000),
    "empty DATA": (
        itertools.chain([OPEN], itertools.repeat(frame(DATA, 0, 1))), 1000),
    "padding alone": (
        itertools.chain([OPEN], itertools.repeat(
            frame(DATA, PADDED, 1, b"\xff" + bytes(255)))), 1000),
    "one byte of DATA at a time": (
        itertools.chain([OPEN], itertools.repeat(frame(DATA, 0, 1, b"x"))),
        4000),
    "HEADERS of a stream that is gone": (
        itertools.chain([OPEN + frame(RST, 0, 1, number(8))],
                        itertools.repeat(frame(
                            HEADERS, END_HEADERS | END_STREAM, 1, CALL))),
        1000),
    "streams above the limit": (
        (frame(HEADERS, END_HEADERS, i, CALL) for i in ids()), 1100),
}
# What a read of the server may hold beyond the step that ended it.
SLACK_BYTES = 4096


class Healthy(threading.Thread):
    """One call after the other, on a connection of its own, until the attack
    is over and a few longer."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.address = address
        self.done = threading.Event()
        self.waits, self.failures = [], []

    def run(self):
        connection = http.client.HTTPConnection(
            self.address, timeout=serve_test.PATIENCE)
        while not self.done.is_set() or len(self.waits) < 100:
            began = time.monotonic()
            try:
                connection.request("POST", "/bsky.Service/GetPostRecords",
                                   '{"uris": ["at://did:plc:a/b/c"]}',
                                   {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    self.failures.append(answer.status)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(error)
                break
            self.waits.append(time.monotonic() - began)
            time.sleep(0.001)
        connection.close()


def goaway_of(data):
    """The code of the first GOAWAY in what a server sent, or None."""
    at = 0
    while at + 9 <= len(data):
        length = int.from_bytes(data[at:at + 3], "big")
        if data[at + 3] == GOAWAY and at + 17 <= len(data):
            return int.from_bytes(data[at + 13:at + 17], "big")
        at += 9 + length
    return None


class HostileClientsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.serving = serve_test.Serving(folder.name + "/data", "--loops=1")
        self.addCleanup(self.serving.close)
        self.address = self.serving.listen[0][7:]

    def connect(self, settings=b""):
        host, port = self.address.split(":")
        raw = socket.create_connection((host, int(port)),
                                       timeout=serve_test.PATIENCE)
        self.addCleanup(raw.close)
        raw.sendall(PREFACE + frame(SETTINGS, 0, 0, settings))
        return raw

    def hits(self, limit):
        metrics = self.serving.get("/metrics")[1]
        found = re.search(r'limit_hits_total\{limit="%s"\} (\d+)' % limit,
                          metrics)
        return int(found.group(1))

    def resident(self):
        with open(f"/proc/{self.serving.process.pid}/statm",
                  encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def attack(self, steps, most):
        """Sends so many steps and says how the server took them."""
        raw = self.connect()
        size = 0
        try:
            for step in itertools.islice(steps, most):
                raw.sendall(step)
                size += len(step)
            # It has ended by now, or these bytes are the proof that it did not.
            raw.sendall(frame(0xf3, 0, 0, bytes(SLACK_BYTES)))
        except OSError:
            pass
        answer = b""
        try:
            while True:
                data = raw.recv(65536)
                if not data:
                    break
                answer += data
        except ConnectionResetError:
            pass
        return goaway_of(answer)

    def test_floods_end_and_harm_nobody(self):
        # Pools and caches have their size before memory is compared.
        for _ in range(200):
            self.assertEqual(self.serving.call("Ping", {})[0], 200)
        for name, (steps, most) in ATTACKS.items():
            with self.subTest(name):
                before, abuse = self.resident(), self.hits("http2_abuse")
                healthy = Healthy(self.address)
                healthy.start()
                code = self.attack(steps, most)
                healthy.done.set()
                healthy.join(serve_test.PATIENCE)
                self.assertEqual(code, ENHANCE_YOUR_CALM)
                self.assertEqual(self.hits("http2_abuse"), abuse + 1)
                self.assertEqual(healthy.failures, [])
                grown = (self.resident() - before) / (1 << 20)
                if RSS_MIB:
                    self.assertLessEqual(grown, RSS_MIB)
                waits = sorted(healthy.waits)
                p99 = waits[len(waits) * 99 // 100] * 1000
                print(f"{name}: a healthy client waited {p99:.1f} ms at p99 of "
                      f"{len(waits)}; {grown:.1f} MiB more", file=sys.stderr)

    def test_answers_that_nobody_takes_are_let_go(self):
        self.serving.stop()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.serving = serve_test.Serving(folder.name, "--loops=1",
                                          "--write_stall_timeout=100ms")
        self.addCleanup(self.serving.close)
        self.address = self.serving.listen[0][7:]
        raw = self.connect(struct.pack(">HI", 4, 0))  # no window at all
        for stream in itertools.islice(ids(), 90):
            raw.sendall(frame(HEADERS, END_HEADERS, stream, READ) +
                        frame(DATA, END_STREAM, stream, BODY))
        try:
            while raw.recv(65536):
                pass
        except ConnectionResetError:
            pass
        self.assertEqual(self.hits("write_stall_timeout"), 1)


if __name__ == "__main__":
    serve_test.PROGRAM = os.path.abspath(sys.argv.pop(1))
    RSS_MIB = int(sys.argv.pop(1))
    unittest.main()
