"""A client of three Cassandra nodes while one of them fails.

Three real nodes, RF 3, QUORUM, in a network namespace of this program's own.
For each fault each client works for a while undisturbed, then with the fault,
then healed; at last it reads back all that was acknowledged. The CSV has one
row for each; the table on the screen has the medians.
"""

import argparse
import csv
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PROGRAMS = ROOT / "build/bench/benchmarks/cql_faults"
SERVERS = ROOT / "tests/servers"
OUT = ROOT / "build/bench/cql_faults.csv"
CLIENTS = {
    "ringplane": PROGRAMS / "cql_faults_load",
    "scylladb-gocql": PROGRAMS / "cql_faults_gocql",
}
NODES = (1, 2, 3)
VICTIM = 2
PORT = 9042
WORKERS = 8
BEFORE_S = 10  # Undisturbed.
FAULT_S = 10
AFTER_S = 15  # Healed.
QUEUE = 7
COLUMNS = ("fault,client,repeat,read_write_errors,counter_errors,ops_before,"
           "ops_during,kept,longest_gap_s,last_error_after_onset_s,"
           "last_error_after_heal_s,acknowledged,lost,foreign,wrong_counters").split(",")


def say(text):
    print(f"==> {text}", file=sys.stderr, flush=True)


def sh(*command, **options):
    subprocess.run([str(word) for word in command], check=True, **options)


class Cluster:
    """Three nodes, their data in a folder that is removed with them."""

    def __init__(self, folder):
        tools = pathlib.Path(os.environ["RINGPLANE_TOOLS"])
        self.folder = folder
        self.jars = tools / "cassandra"
        self.script = SERVERS / "cassandra.sh"
        self.environment = dict(os.environ, JAVA=str(tools / "java"),
                                PYTHON=sys.executable, PORT=str(PORT))

    def run(self, *arguments, **environment):
        sh("bash", self.script, arguments[0], self.folder, *arguments[1:],
           env={**self.environment, **environment}, stdout=sys.stderr)

    def start(self):
        # A killed node must not forget what it has acknowledged.
        self.run("start", self.jars, "-n", str(len(NODES)), BATCH="1")
        for statement in (
                "CREATE KEYSPACE faults WITH replication = {'class': "
                "'SimpleStrategy', 'replication_factor': 3}",
                "CREATE TABLE faults.rows (key bigint PRIMARY KEY, value text)",
                "CREATE TABLE faults.counters (id bigint PRIMARY KEY, "
                "n counter)"):
            self.ask(1, statement)
        self.settle()

    def empty(self):
        for table in ("rows", "counters"):
            self.ask(1, f"TRUNCATE faults.{table}")

    def ask(self, node, *words):
        sh(sys.executable, SERVERS / "cqlmini.py", f"127.0.0.{node}:{PORT}",
           *words, stdout=subprocess.DEVNULL)

    def settle(self):
        for node in NODES:
            self.ask(node, "wait", str(len(NODES)))

    def pid(self, node):
        return int((self.folder / f"node{node}/pid").read_text())

    def signal(self, node, number):
        os.kill(self.pid(node), number)

    def stop(self, *node, **environment):
        self.run("stop", *map(str, node), **environment)

    def restart(self, node):
        self.run("restart", self.jars, str(node))


# --- faults: begin(), which returns what heals ------------------------------


def kill(cluster):
    cluster.stop(VICTIM, KILL="1")
    return lambda: cluster.restart(VICTIM)


def stop(cluster):
    cluster.signal(VICTIM, signal.SIGSTOP)
    return lambda: cluster.signal(VICTIM, signal.SIGCONT)


def blackhole(_cluster):
    for direction in ("-d", "-s"):
        sh("iptables", "-A", "INPUT", direction, f"127.0.0.{VICTIM}", "-j",
           "DROP")
    return lambda: sh("iptables", "-F", "INPUT")


def slow(_cluster):
    netem = subprocess.Popen(
        [PROGRAMS / "cql_faults_netem", str(QUEUE), "300", "5", "1"],
        stdout=subprocess.PIPE, text=True)
    if netem.stdout.readline() != "ready\n":
        raise RuntimeError("netem did not start")
    sh("iptables", "-A", "INPUT", "-d", f"127.0.0.{VICTIM}", "-j", "NFQUEUE",
       "--queue-num", str(QUEUE), "--queue-bypass")

    def heal():
        sh("iptables", "-F", "INPUT")
        netem.terminate()
        netem.wait()

    return heal


def rolling(cluster):
    for node in NODES:
        cluster.stop(node)
        cluster.restart(node)
        cluster.settle()
    return lambda: None


FAULTS = {"kill": kill, "stop": stop, "blackhole": blackhole, "slow": slow,
          "rolling": rolling}


# --- one run ------------------------------------------------------------------


@dataclasses.dataclass
class Event:
    end: float
    kind: str
    ok: bool
    error: str


def read_events(path):
    events = []
    for line in path.read_text().splitlines():
        end, kind, _, result = line.split(" ", 3)
        events.append(Event(int(end) / 1e6, kind, result == "ok", result))
    return events


def judge(events, onset, healed):
    """What the load saw of a fault from `onset` to `healed`."""
    good = [event.end for event in events if event.ok]
    bad = [event for event in events if not event.ok and event.end >= onset]
    before = sum(onset - BEFORE_S <= end < onset for end in good) / BEFORE_S
    during = sum(onset <= end < healed for end in good) / (healed - onset)
    marks = [onset] + [end for end in good if onset <= end < healed] + [healed]
    gaps = [after - earlier for earlier, after in zip(marks, marks[1:])]
    counters = sum(event.kind == "c" for event in bad)
    last = max((event.end for event in bad), default=None)
    return {
        "read_write_errors": len(bad) - counters,
        "counter_errors": counters,
        "ops_before": round(before, 1),
        "ops_during": round(during, 1),
        "kept": round(during / before, 3) if before else 0,
        "longest_gap_s": round(max(gaps), 2),
        "last_error_after_onset_s": round(last - onset, 2) if bad else "",
        "last_error_after_heal_s":
            round(last - healed, 2) if bad and last > healed else "",
    }


def run_one(cluster, fault, client, work):
    cluster.empty()
    path = work / "events"
    addresses = ",".join(f"127.0.0.{node}:{PORT}" for node in NODES)
    load = subprocess.Popen([CLIENTS[client], addresses, str(WORKERS), path],
                            stdout=subprocess.PIPE, text=True)
    if load.stdout.readline() != "ready\n":
        raise RuntimeError(f"{client} did not start")
    try:
        time.sleep(BEFORE_S + 2)  # Two seconds to get warm.
        onset = time.time()
        heal = FAULTS[fault](cluster)
        time.sleep(max(0.0, onset + FAULT_S - time.time()))
        healed = time.time()
        heal()
        cluster.settle()
        time.sleep(AFTER_S)
    finally:
        load.terminate()
        output = load.communicate()[0]
    if load.returncode != 0:
        raise RuntimeError(f"{client} failed under {fault}")
    events = read_events(path)
    kinds = {}
    for event in events:
        if not event.ok:
            kinds[event.error] = kinds.get(event.error, 0) + 1
    for error, count in sorted(kinds.items(), key=lambda item: -item[1])[:5]:
        say(f"  {count} x {error[:200]}")
    return {**judge(events, onset, healed), **json.loads(output)}


def report(rows, faults, clients):
    shown = COLUMNS[3:]
    print("| fault | client | " + " | ".join(shown) + " |")
    print("|---" * (len(shown) + 2) + "|")
    for fault in faults:
        for client in clients:
            chosen = [row for row in rows
                      if row["fault"] == fault and row["client"] == client]
            cells = []
            for column in shown:
                values = [row[column] for row in chosen if row[column] != ""]
                cells.append(f"{statistics.median(values):g}" if values else "-")
            print(f"| {fault} | {client} | " + " | ".join(cells) + " |")


def inside(options):
    """In the namespace."""
    sh("ip", "link", "set", "lo", "up")
    clients = [name for name, path in CLIENTS.items()
               if path.exists() and name in options.clients]
    # In memory, where a sync costs nothing: the disk is not what is measured.
    work = pathlib.Path(tempfile.mkdtemp(dir="/dev/shm"))
    cluster = Cluster(work / "cluster")
    rows = []
    try:
        say("starting three nodes, which takes a minute or two")
        cluster.start()
        with open(OUT, "w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            for repeat in range(1, options.repeats + 1):
                for fault in options.faults:
                    for client in clients:
                        say(f"{fault}, {client}, repeat {repeat}")
                        row = {"fault": fault, "client": client,
                               "repeat": repeat,
                               **run_one(cluster, fault, client, work)}
                        rows.append(row)
                        writer.writerow(row)
                        file.flush()
    finally:
        cluster.stop()
        shutil.rmtree(work, ignore_errors=not rows)
    report(rows, options.faults, clients)
    print(f"\nmedians of {options.repeats}; {os.cpu_count()} cores; {OUT}")
    bad = [row for row in rows
           if row["lost"] or row["foreign"] or row["wrong_counters"]]
    if bad:
        sys.exit("rows lost, foreign answers or counters out of range")


def main():
    parser = argparse.ArgumentParser(prog="./dev bench cql_faults",
                                     description=__doc__)
    parser.add_argument("--short", action="store_true",
                        help="once each instead of three times")
    parser.add_argument("--faults", nargs="+", default=list(FAULTS),
                        choices=list(FAULTS))
    parser.add_argument("--clients", nargs="+", default=list(CLIENTS),
                        choices=list(CLIENTS))
    parser.add_argument("--inside", action="store_true",
                        help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.repeats = 1 if options.short else 3
    if options.inside:
        inside(options)
        return
    os.execvp("unshare", ["unshare", "--net", "--", sys.executable, __file__,
                          "--inside", *sys.argv[1:]])


if __name__ == "__main__":
    main()
