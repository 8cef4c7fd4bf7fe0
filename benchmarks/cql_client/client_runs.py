"""One run of the CQL client study: a responder, a client, and the difference of
what both count at two moments (see socket_scaling's measure.h)."""

import dataclasses
import os
import re
import shutil
import struct
import subprocess
import tempfile
import time

from runs import (PERF, Failed, Process, Runner as Limits, Skip, difference,
                  percentile_us, perf_counts)

FLOOR, OURS, GOCQL, RUST, CPP = CLIENTS = (
    'floor', 'ringplane', 'scylladb-gocql', 'scylla-rust', 'cpp-driver')
# Go's runtime does not live under valgrind.
UNDER_VALGRIND = (OURS, RUST, CPP)
STABLE_ASKS = 5  # Of the responder, with nothing new.


@dataclasses.dataclass(frozen=True)
class Point:
    """One set of conditions under which clients are compared. A connection is
    one that carries queries: a client may open others."""
    hosts: int
    shards: int  # Of each host.
    in_flight: int

    @property
    def connections(self):
        return self.hosts * self.shards

    def __str__(self):
        return f'{self.connections} connections, {self.in_flight} in flight'


class Runner:

    def __init__(self, options):
        self.options = options
        self.limit = Limits.raise_descriptor_limit()
        self.counter = None  # Whether perf counts system calls.
        # By (client, point): what does not change from one run to the next.
        self.counted = {}

    def check_point(self, point):
        # The responder holds the most: two for each of ours, and listeners.
        needed = 2 * point.connections + 256
        if needed > self.limit:
            raise Skip(f'{needed} descriptors are needed, the limit is '
                       f'{self.limit}')

    def command(self, client, point, *more):
        path = self.options.programs / client
        for name in (client, f'{client}.so'):
            reason = self.options.programs / f'{name}.skipped'
            if reason.exists():
                raise Skip(reason.read_text().strip())
        if not path.exists():
            raise Skip('not built')
        # This one is told per host, and knows no shards.
        connections = point.shards if client == CPP else point.connections
        return [path, f'--connections={connections}',
                f'--in-flight={point.in_flight}', *more]

    def run(self, point, client, first):
        """Measures once. Returns what is known about it, by name."""
        key = client, point
        if first and key not in self.counted:
            self.counted[key] = {**self.count_calls(point, client),
                                 **self.count_instructions(point, client)}
        with Pair(self, point, self.command(client, point)) as pair:
            pair.connect(client)
            before = pair.ask()
            time.sleep(self.options.seconds)
            ours, theirs = (difference(after, earlier) for after, earlier in
                            zip(pair.ask(), before))
            row = self.summary(ours, theirs, pair)
        if row['syscalls_per_message'] is None:
            row['syscalls_per_message'] = self.counted[key]['syscalls']
        for name in ('allocations', 'user_instructions'):
            row[f'{name}_per_message'] = self.counted[key].get(name)
        return row

    def summary(self, ours, theirs, pair):
        queries = ours['events']
        if queries < 1:
            raise Failed('no query was answered in the measured time')
        if theirs['with_metadata']:
            raise Failed('the client does not skip metadata')
        seconds = ours['clock_ns'] / 1e9
        cpu_us = ours['user_us'] + ours['system_us']
        return {
            'cpu_us_per_message': cpu_us / queries,
            'user_us_per_message': ours['user_us'] / queries,
            'syscalls_per_message':
                ours['syscalls'] / queries if 'syscalls' in ours else None,
            'messages_per_second': queries / seconds,
            'p50_us': percentile_us(ours['latency'], 0.50),
            'p99_us': percentile_us(ours['latency'], 0.99),
            'opened': pair.opened,
            'idle_bytes_per_connection': pair.idle_bytes_per_connection,
            'cpu_share': cpu_us / 1e6 / seconds,
            'load_cpu_share': (theirs['user_us'] + theirs['system_us']) /
                              1e6 / (theirs['clock_ns'] / 1e9),
            'load_average': os.getloadavg()[0],
        }

    def count_calls(self, point, client):
        """Allocations and system calls per query, in a run of their own: to
        count costs time."""
        if self.counter is None:
            self.counter = perf_counts()
        with tempfile.NamedTemporaryFile() as file:
            environment = {}
            if self.options.alloc_count.exists():
                environment = {'LD_PRELOAD': self.options.alloc_count,
                               'RINGPLANE_ALLOC_COUNT': file.name}
            with Pair(self, point, self.command(client, point),
                      environment) as pair:
                pair.connect(client)

                def allocated():
                    with open(file.name, 'rb') as counts:
                        data = counts.read(8)
                    return struct.unpack('=Q', data)[0] if data else None

                # To report allocates as well: that stays outside.
                before = pair.ask()[0]
                allocations = allocated()
                calls = self.calls_per_second(pair)
                if allocations is not None:
                    allocations = allocated() - allocations
                passed = difference(pair.ask()[0], before)
        queries = passed['events']
        if not queries:
            raise Failed('no query was answered while calls were counted')
        rate = queries / (passed['clock_ns'] / 1e9)
        # A program without malloc counts by itself.
        allocations = passed.get('allocations', allocations)
        return {'allocations':
                    None if allocations is None else allocations / queries,
                'syscalls': None if calls is None else calls / rate}

    def calls_per_second(self, pair):
        if not self.counter:
            time.sleep(0.25)
            return None
        counted = subprocess.run(
            [*PERF, '-p', str(pair.client.popen.pid), 'sleep', '0.25'],
            capture_output=True, text=True, check=False,
            env={**os.environ, 'LC_ALL': 'C'}).stderr
        calls = re.search(r'([\d,]+)\s+raw_syscalls:sys_enter', counted)
        elapsed = re.search(r'([\d.]+) seconds time elapsed', counted)
        if not calls or not elapsed:
            return None
        return int(calls.group(1).replace(',', '')) / float(elapsed.group(1))

    def count_instructions(self, point, client):
        """User instructions per query: what a run five times as long has
        more, under callgrind."""
        if (client not in UNDER_VALGRIND or not shutil.which('valgrind') or
                point not in self.options.instruction_points):
            return {}
        few = max(4000, 8 * point.in_flight)
        counts = []
        for queries in (few, 5 * few):
            command = self.command(client, point, f'--queries={queries}')
            command[:0] = ['valgrind', '--tool=callgrind',
                           '--callgrind-out-file=/dev/null']
            with Pair(self, point, command) as pair:
                pair.connect(client, load=False)
                pair.client.go()
                pair.client.popen.wait()
                pair.client.drain.join()
                found = re.search(r'Collected : (\d+)',
                                  ''.join(pair.client.errors))
            if not found:
                raise Failed('callgrind gave no count')
            counts.append(int(found.group(1)))
        return {'user_instructions': (counts[1] - counts[0]) / (4 * few)}


class Pair:
    """A responder and a client that talks to it."""

    def __init__(self, runner, point, command, environment=None):
        self.options = runner.options
        self.point = point
        self.command = command
        self.environment = environment or {}
        self.processes = []

    def __enter__(self):
        try:
            self.responder = self.start(
                [self.options.programs / 'responder',
                 f'--hosts={self.point.hosts}',
                 f'--shards={self.point.shards}'], self.options.load_cpus)
            port, = self.responder.expect('listening')
            prefix = [f'{name}={value}' for name, value in
                      self.environment.items()]
            if prefix:
                prefix.insert(0, 'env')
            self.client = self.start(
                [*prefix, *self.command, f'--port={port}'],
                self.options.client_cpus)
            return self
        except BaseException:
            self.end()
            raise

    def __exit__(self, *_):
        self.end()

    def start(self, command, cpus):
        self.processes.append(Process(command, cpus, self.options.patience))
        return self.processes[-1]

    def end(self):
        for process in reversed(self.processes):
            process.end()

    def connect(self, client, load=True):
        """Until the client has every connection that it will open, and, with
        `load`, has warmed up."""
        self.client.expect('started')
        before = self.client.anonymous_bytes()
        self.client.go()
        self.client.expect('connected')
        self.opened = self.point.connections
        if client != FLOOR:
            self.opened = self.await_connections()
        self.idle_bytes_per_connection = (
            max(0, self.client.anonymous_bytes() - before) /
            self.point.connections)
        if load:
            self.client.go()
            time.sleep(self.options.warmup)

    def await_connections(self):
        """How many the responder sees when no more come."""
        seen, unchanged = None, 0
        deadline = time.monotonic() + self.options.patience / 2
        while time.monotonic() < deadline:
            self.responder.ask()
            report = self.responder.answer()
            found = report['ready'], report['reached']
            unchanged = unchanged + 1 if found == seen else 0
            seen = found
            if (unchanged >= STABLE_ASKS and
                    report['reached'] == self.point.connections):
                return report['ready']
            time.sleep(0.05)
        raise Failed(f'only {seen[1]} of {self.point.connections} shards were '
                     'connected to')

    def ask(self):
        """What the client and the responder count now."""
        for process in (self.client, self.responder):
            process.ask()
        return self.client.answer(), self.responder.answer()
