"""`ringplane cql` as a user runs it. Usage:
shell_test.py PROGRAM STORE [unittest's arguments].

STORE is the program of the embedded node, or the folder of the Cassandra that
tests share (tests/servers/shared_cassandra.sh).
"""

import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
import unittest

PROGRAM = STORE = ""
# Sanitizers and busy machines are slow; nothing here measures time.
PATIENCE = 120

SCHEMA = """
-- Every type that the protocol knows.
CREATE KEYSPACE app WITH replication =
  {'class': 'SimpleStrategy', 'replication_factor': 1};
USE app;
CREATE TYPE address (street text, number int);
CREATE TABLE every (
  id int PRIMARY KEY, a ascii, b bigint, c blob, d boolean, e decimal, f double,
  g float, h inet, i smallint, j date, k text, l time, m timestamp, n timeuuid,
  o tinyint, p uuid, q varint, r duration, s list<text>, t set<int>,
  u map<text, frozen<list<int>>>, v tuple<int, text>, w frozen<address>);
INSERT INTO every (id, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s,
  t, u, v, w) VALUES (1, 'plain', -5, 0xcafe, true, 12.50, 0.1, 3.5,
  '127.0.0.1', 300, '2023-11-14', 'it''s; "so", no?', '10:15:30.123456789',
  '2023-11-14 22:13:20.5+0000', 50554d6e-29bb-11e5-b345-feff819cdc9f, -1,
  123e4567-e89b-12d3-a456-426614174000, 170141183460469231731687303715884105728,
  1y2mo3d4h, ['a', 'b'], {2, 1}, {'x': [1, 2]}, (7, 'seven'),
  {street: 'High', number: 5});
INSERT INTO every (id, k) VALUES (2, 'two
lines');
"""
COLUMNS = ["id", *"abcdefghijklmnopqrstuvw"]
FIRST = [
    "1", "plain", "-5", "0xcafe", "True", "12.50", "0.1", "3.5", "127.0.0.1",
    "300", "2023-11-14", "it's; \"so\", no?", "10:15:30.123456789",
    "2023-11-14 22:13:20.500000+0000", "50554d6e-29bb-11e5-b345-feff819cdc9f",
    "-1", "123e4567-e89b-12d3-a456-426614174000",
    "170141183460469231731687303715884105728", "1y2mo3d4h", "['a', 'b']",
    "{1, 2}", "{'x': [1, 2]}", "(7, 'seven')", "{street: 'High', number: 5}"]


class ShellTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.cassandra = os.path.isdir(STORE)
        if cls.cassandra:
            with open(os.path.join(STORE, "address"), encoding="utf-8") as file:
                cls.address = file.read().strip()
        else:
            cls.folder = tempfile.TemporaryDirectory()
            cls.node = subprocess.Popen(
                [STORE, f"--data={cls.folder.name}", "--shards=2"],
                stdout=subprocess.PIPE, text=True)
            cls.address = cls.node.stdout.readline().split()[2]
        made = cls.run_shell(stdin=SCHEMA)
        assert made.returncode == 0, made.stderr

    @classmethod
    def tearDownClass(cls):
        if cls.cassandra:
            cls.run_shell("-e", "DROP KEYSPACE app")
            return
        cls.node.send_signal(signal.SIGTERM)
        cls.node.communicate(timeout=PATIENCE)
        cls.folder.cleanup()

    @classmethod
    def command(cls, *arguments):
        account = []
        if cls.cassandra:
            account = ["--cql_username=cassandra"]
            os.environ["RINGPLANE_CQL_PASSWORD"] = "cassandra"
        return [PROGRAM, "cql", cls.address, *account, *arguments]

    @classmethod
    def run_shell(cls, *arguments, stdin=None):
        return subprocess.run(
            cls.command(*arguments), input=stdin, stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True, text=True, timeout=PATIENCE, check=False)

    def output(self, *arguments, stdin=None):
        done = self.run_shell(*arguments, stdin=stdin)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_a_table_is_printed_as_by_cqlsh(self):
        self.assertEqual(
            self.output("-e", "SELECT id, k, i AS small, t FROM app.every"),
            "\n"
            " id | k               | small | t\n"
            "----+-----------------+-------+--------\n"
            "  1 | it's; \"so\", no? |   300 | {1, 2}\n"
            "  2 |      two\\nlines |  null |   null\n"
            "\n"
            "(2 rows)\n")

    def test_csv_has_every_value(self):
        text = self.output("--format=csv", "-e",
                           f"SELECT {', '.join(COLUMNS)} FROM app.every")
        rows = list(csv.reader(io.StringIO(text)))
        self.assertEqual(rows[0], COLUMNS)
        self.assertEqual(rows[1], FIRST)
        self.assertEqual(rows[2], ["2"] + [
            "two\nlines" if column == "k" else "" for column in COLUMNS[1:]])

    def test_json_has_an_object_a_line(self):
        text = self.output("--format=json", "-e", "SELECT * FROM app.every")
        first, second = (json.loads(line) for line in text.splitlines())
        self.assertEqual(
            [first[name] for name in "abcdfghistuvw"],
            ["plain", -5, "0xcafe", True, 0.1, 3.5, "127.0.0.1", 300,
             ["a", "b"], [1, 2], {"x": [1, 2]}, [7, "seven"],
             {"street": "High", "number": 5}])
        self.assertEqual(first["q"], 2**127)
        self.assertEqual(first["m"], "2023-11-14 22:13:20.500Z")
        self.assertEqual(second["k"], "two\nlines")
        self.assertIsNone(second["w"])

    def test_results_are_whole_however_small_their_pages(self):
        script = "USE app; CREATE TABLE IF NOT EXISTS many (p int, c int, " \
                 "PRIMARY KEY (p, c));" + "".join(
                     f"INSERT INTO many (p, c) VALUES (1, {c});"
                     for c in range(7))
        self.output(stdin=script)
        self.assertEqual(
            self.output("--page_size=2", "--format=csv", "--use=app", "-e",
                        "SELECT c FROM many WHERE p = 1"),
            "c\n" + "".join(f"{c}\n" for c in range(7)))
        self.assertIn("(7 rows)", self.output(
            "--page_size=3", "-e", "SELECT c FROM app.many WHERE p = 1"))

    def test_conditional_writes_say_whether_they_were_applied(self):
        self.assertIn(" False |", self.output(
            "-e", "INSERT INTO app.every (id, k) VALUES (2, 'x') "
            "IF NOT EXISTS"))

    def test_the_first_failure_ends_a_script_and_is_explained(self):
        done = self.run_shell(
            "--format=csv",
            stdin="SELECT id FROM app.every WHERE id = 1;\n"
            "SELECT nothing FROM app.every; SELECT k FROM app.every;")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, "id\n1\n")
        for part in ("ringplane: cql: ", "SELECT nothing FROM app.every",
                     self.address, "INVALID", "nothing"):
            self.assertIn(part, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)

    def test_commands_of_the_shell(self):
        done = self.run_shell(
            stdin="output CSV\nconsistency one\npaging 3\n"
            "tracing on\ntracing OFF\nSELECT id FROM app.every WHERE id = 2;\nexit\nSELECT 1;")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, "id\n2\n")
        self.assertEqual(done.stderr, "output as csv\nconsistency ONE\n"
                         "pages of 3 rows\ntracing is on\ntracing is off\n")
        for wrong in ("output xml", "paging -1", "consistency most",
                      "tracing maybe"):
            self.assertEqual(self.run_shell(stdin=wrong).returncode, 1, wrong)

    def test_a_trace_says_what_the_nodes_did(self):
        if not self.cassandra:
            self.skipTest("the embedded node keeps no traces")
        done = self.run_shell("-e", "TRACING ON; SELECT id FROM app.every "
                              "WHERE id = 1", "--format=csv")
        self.assertEqual((done.returncode, done.stdout), (0, "id\n1\n"))
        for part in ("trace ", "source_elapsed", "Parsing SELECT id"):
            self.assertIn(part, done.stderr)

    def test_what_cannot_be_done_is_told_by_the_exit_status(self):
        self.assertEqual(self.run_shell("--format=xml").returncode, 2)
        self.assertEqual(self.run_shell("--page_size=-1").returncode, 2)
        self.assertEqual(self.run_shell("--use=nowhere").returncode, 1)
        nobody = subprocess.run(
            [PROGRAM, "cql", "127.0.0.1:1", "-e", "SELECT 1"],
            capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.assertEqual(nobody.returncode, 1)
        self.assertIn("127.0.0.1:1", nobody.stderr)

    def test_somebody_who_types_is_prompted_and_pages_by_key(self):
        self.output(stdin="CREATE TABLE app.typed (p int, c int, PRIMARY KEY "
                    "(p, c));" + "".join(
                        f"INSERT INTO app.typed (p, c) VALUES (1, {c});"
                        for c in range(5)))
        terminal = Terminal(self.command("--page_size=2"))
        terminal.until("cql> ")
        terminal.type("SELECT c FROM app.typed\n")
        terminal.until("   ...> ")
        terminal.type("WHERE p = 1;\n")
        self.assertIn(" 1\r\n", terminal.until("---MORE---"))
        terminal.type(" ")
        self.assertIn(" 3\r\n", terminal.until("---MORE---"))
        terminal.type("q")
        terminal.until("cql> ")
        terminal.type("SELECT wrong FROM app.typed;\n")
        self.assertIn("wrong", terminal.until("cql> "))
        terminal.type("use app;\n")
        terminal.until("cql:app> ")
        terminal.type("\x04")  # End of input.
        self.assertEqual(terminal.end(), 0)


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, command):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            signal.alarm(PATIENCE)  # Whatever happens, it ends.
            os.execv(command[0], command)

    def until(self, text):
        """What it writes, up to `text`."""
        seen = ""
        while text not in seen:
            try:
                seen += os.read(self.fd, 4096).decode()
            except OSError as error:  # It has ended.
                raise AssertionError(f"{text!r} is not in {seen!r}") from error
        return seen

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    PROGRAM, STORE = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
