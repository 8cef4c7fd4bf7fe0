#!/usr/bin/env python3
"""Runs the matrix of the socket-scaling study and writes its CSV.

Every run is one measured process, pinned to one set of cores, and one process
of load on another. Both print counts on SIGUSR1 (see measure.h); a row is the
difference of two such prints. Variants take turns within each repeat, so that
the rows of one repeat were measured under the same conditions.
"""

import argparse
import csv
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import random
import re
import resource
import shlex
import signal
import subprocess
import sys
import threading
import time

COLUMNS = (
    'workload,variant,sockets,in_flight,message_bytes,cpu_us_per_message,'
    'user_us_per_message,syscalls_per_message,completions_per_turn,'
    'messages_per_second,p50_us,p99_us,rss_bytes_per_socket,repeat').split(',')
WORKLOADS = ('echo', 'echo-few-active', 'pipelined', 'open-loop')
BATCHES = (16, 128, 1024, 4096)
PEERS = ('go', 'libuv', 'asio-epoll', 'asio-uring', 'tokio', 'monoio')
CORE = ('floor', 'ioloop', 'ioloop-epoll-128', 'epoll-128') + PEERS
ALL = (('floor', 'ioloop') + tuple(f'ioloop-epoll-{n}' for n in BATCHES) +
       tuple(f'epoll-{n}' for n in BATCHES) +
       tuple(f'epoll-{n}-shared' for n in BATCHES) + PEERS)
WAIT_ONE = 'ioloop-wait-1'
OPEN = ('floor', 'ioloop', WAIT_ONE, 'ioloop-epoll-128', 'epoll-128') + PEERS
PIPELINED = CORE + ('epoll-4096', 'ioloop-epoll-4096')
SKIPPED = 77  # The exit code of a program that cannot run here.
SPARE_DESCRIPTORS = 64


class Failed(Exception):
    """A run that gave no row."""


class Skip(Exception):
    """A variant or size that cannot run here, and why."""


@dataclasses.dataclass(frozen=True)
class Point:
    """One set of conditions under which variants are compared."""
    workload: str
    sockets: int
    in_flight: int  # 0: an open loop, nothing bounds it.
    message_bytes: int
    rate: int = 0  # Of an open loop, messages per second.

    def __str__(self):
        text = f'{self.workload} {self.sockets}'
        if self.workload in ('pipelined', 'echo-few-active'):
            text += f'/{self.in_flight}'
        if self.rate:
            text += f' at {self.rate}/s'
        if self.message_bytes not in (64, 100):
            text += f' of {self.message_bytes} B'
        return text


def echo(sockets, message_bytes=64):
    return Point('echo', sockets, sockets, message_bytes)


def few(sockets, active=64):
    return Point('echo-few-active', sockets, min(active, sockets), 64)


def pipelined(connections, in_flight):
    return Point('pipelined', connections, in_flight, 100)


def open_loop(rate, sockets=1000):
    return Point('open-loop', sockets, 0, 64, rate)


# (point, variants). The short matrix takes minutes, the full one hours.
SHORT = [
    (echo(64), CORE),
    (echo(1000), ALL + (WAIT_ONE,)),
    (echo(10000), CORE),
    (few(10000), ('floor', 'ioloop', 'epoll-128', 'go')),
    (pipelined(512, 4096), PIPELINED),
    (open_loop(40000), ('floor', 'ioloop', WAIT_ONE, 'epoll-128', 'go')),
]
FULL = (
    [(echo(n), ALL + (WAIT_ONE,)) for n in (64, 256, 1000, 4000, 10000, 19900)]
    + [(echo(1000, 1024), CORE)]
    + [(few(n), CORE) for n in (64, 1000, 10000, 19900)]
    + [(pipelined(128, 512), ALL)]
    + [(pipelined(c, 4096), ALL) for c in (128, 512, 1500, 4000)]
    + [(open_loop(rate), OPEN) for rate in (1000, 10000, 40000, 80000)])


# --- processes --------------------------------------------------------------


class Process:
    """A program of the study: lines come from it, signals and lines go to it."""

    def __init__(self, command, cpus, environment=None):
        self.name = pathlib.Path(command[0]).name
        self.popen = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **(environment or {})},
            preexec_fn=lambda: os.sched_setaffinity(0, cpus))
        self.errors = []
        self.drain = threading.Thread(
            target=lambda: self.errors.extend(self.popen.stderr), daemon=True)
        self.drain.start()
        # A program that hangs must not hang the study.
        self.watchdog = threading.Timer(120, self.popen.kill)
        self.watchdog.daemon = True
        self.watchdog.start()

    def expect(self, word):
        line = self.popen.stdout.readline()
        if line.startswith(word):
            return line.split()[1:]
        self.popen.kill()
        code = self.popen.wait()
        self.drain.join(1)
        error = (self.errors or ['no message\n'])[-1].strip()
        if code == SKIPPED:
            raise Skip(error)
        raise Failed(f'{self.name}: wanted "{word}", got "{line.strip()}": '
                     f'{error}')

    def go(self):
        try:
            self.popen.stdin.write('go\n')
            self.popen.stdin.flush()
        except BrokenPipeError:
            pass  # What it has to say is read next.

    def ask(self):
        self.popen.send_signal(signal.SIGUSR1)

    def answer(self):
        report = {}
        for field in self.expect('report'):
            key, value = field.split('=')
            if key == 'latency':
                report[key] = {int(bucket): int(count) for bucket, count in
                               (pair.split(':') for pair in value.split(','))}
            else:
                report[key] = int(value)
        return report

    def anonymous_bytes(self):
        status = pathlib.Path(f'/proc/{self.popen.pid}/status').read_text()
        return int(re.search(r'RssAnon:\s+(\d+)', status).group(1)) * 1024

    def end(self):
        self.watchdog.cancel()
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(2)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        self.popen.stdin.close()
        self.popen.stdout.close()


def difference(after, before):
    """What happened between two reports."""
    delta = {}
    for key, value in after.items():
        if key == 'latency':
            old = before.get('latency', {})
            delta[key] = {bucket: count - old.get(bucket, 0)
                          for bucket, count in value.items()}
        else:
            delta[key] = value - before.get(key, 0)
    return delta


def bucket_us(bucket):
    """The middle of a bucket of measure.h's histogram."""
    if bucket < 64:
        return bucket / 1e3
    shift = bucket // 32 - 1
    return ((bucket % 32 + 32.5) * 2**shift) / 1e3


def percentile_us(latency, share):
    total = sum(latency.values())
    if total == 0:
        return None
    seen = 0
    for bucket in sorted(latency):
        seen += latency[bucket]
        if seen >= share * total:
            return bucket_us(bucket)
    return None


# --- one run ----------------------------------------------------------------


class Study:

    def __init__(self, options):
        self.options = options
        self.programs = options.programs
        self.syscalls = {}  # Of peers, by (variant, point).
        self.counter = None  # How they are counted: perf, strace or nothing.
        self.limit = self.raise_descriptor_limit()

    @staticmethod
    def raise_descriptor_limit():
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return hard

    def check_point(self, point):
        if point.sockets + SPARE_DESCRIPTORS > self.limit:
            raise Skip(f'{point.sockets} sockets need '
                       f'{point.sockets + SPARE_DESCRIPTORS} descriptors, the '
                       f'limit is {self.limit}')

    def program(self, name):
        path = self.programs / name
        if path.exists():
            return path
        reason = self.programs / f'{name}.skipped'
        if reason.exists():
            raise Skip(reason.read_text().strip())
        packaged = {'libuv': 'libuv1-dev', 'asio-epoll': 'libasio-dev',
                    'asio-uring': 'libasio-dev'}
        if name in packaged:
            raise Skip(f'not built: {packaged[name]} is not installed')
        raise Skip('not built')

    def variant(self, name):
        """The command of a variant, and what its environment adds."""
        name, *extra = name.split('+')  # `ioloop+--buffers=256`: a trial.
        if extra:
            command, environment = self.variant(name)
            return [*command, *extra], environment
        if name == 'floor':
            return [self.program('floor')], {}
        if name == 'ioloop':
            return [self.program('ioloop')], {'RINGPLANE_IO_BACKEND': 'uring'}
        if name == WAIT_ONE:
            return [self.program('ioloop'), '--latency-budget-us=0'], {
                'RINGPLANE_IO_BACKEND': 'uring'}
        match = re.fullmatch(r'ioloop-epoll-(\d+)', name)
        if match:
            return [self.program('ioloop'),
                    f'--epoll-batch={match.group(1)}'], {
                        'RINGPLANE_IO_BACKEND': 'epoll'}
        match = re.fullmatch(r'epoll-(\d+)(-shared)?', name)
        if match:
            shared = match.group(2) is not None
            threads = (self.options.shared_threads if shared else
                       self.options.threads or len(self.options.server_cpus))
            return [self.program('epoll'), f'--batch={match.group(1)}',
                    f'--threads={threads}', f'--shared={int(shared)}'], {}
        return [self.program(name)], {}

    def run(self, point, name, count_syscalls):
        """Measures once. Returns what is known about it, by name."""
        command, environment = self.variant(name)
        processes = []

        def start(args, cpus, env=None):
            processes.append(Process(args, cpus, env))
            return processes[-1]

        try:
            if point.workload == 'pipelined':
                pair = self.start_pipelined(point, command, environment, start)
            else:
                pair = self.start_echo(point, command, environment, start)
            return self.measure(point, name, *pair, count_syscalls)
        finally:
            # Whoever accepted resets its connections as it ends: first.
            if point.workload != 'pipelined':
                processes.reverse()
            for process in processes:
                process.end()

    def start_echo(self, point, command, environment, start):
        server = start([*command, 'echo', f'--sockets={point.sockets}',
                        f'--message={point.message_bytes}'],
                       self.options.server_cpus, environment)
        port, = server.expect('listening')
        before = server.anonymous_bytes()
        args = [self.program('load'), 'open' if point.rate else 'closed',
                f'--port={port}', f'--sockets={point.sockets}',
                f'--message={point.message_bytes}']
        args.append(f'--rate={point.rate}' if point.rate else
                    f'--active={point.in_flight}')
        load = start(args, self.options.load_cpus)
        load.expect('connected')
        time.sleep(0.05)  # The server accepts the last of them.
        idle = server.anonymous_bytes()
        load.go()
        return server, load, before, idle

    def start_pipelined(self, point, command, environment, start):
        responder = start([self.program('floor'), 'echo',
                           f'--sockets={point.sockets}', '--buffer=8192'],
                          self.options.load_cpus)
        port, = responder.expect('listening')
        client = start([*command, 'pipelined', f'--port={port}',
                        f'--sockets={point.sockets}',
                        f'--in-flight={point.in_flight}',
                        f'--message={point.message_bytes}'],
                       self.options.server_cpus, environment)
        client.expect('started')
        before = client.anonymous_bytes()
        client.go()
        client.expect('connected')
        idle = client.anonymous_bytes()
        client.go()
        return client, responder, before, idle

    def measure(self, point, name, measured, other, before, idle,
                count_syscalls):
        time.sleep(self.options.warmup)
        reports = []
        for wait in (self.options.seconds, 0):
            measured.ask()
            other.ask()
            reports.append((measured.answer(), other.answer()))
            time.sleep(wait)
        ours = difference(reports[1][0], reports[0][0])
        theirs = difference(reports[1][1], reports[0][1])
        used = measured.anonymous_bytes()
        messages = ours['bytes'] / point.message_bytes
        if messages < 1:
            raise Failed('no message passed in the measured time')
        seconds = ours['clock_ns'] / 1e9
        cpu_us = ours['user_us'] + ours['system_us']
        client = ours if point.workload == 'pipelined' else theirs
        latency = client.get('latency', {})
        syscalls = ours.get('syscalls')
        if count_syscalls and syscalls is None:
            self.syscalls[name, point] = self.count_syscalls(
                measured, point.message_bytes)
        if syscalls is not None:
            syscalls /= messages
        else:
            syscalls = self.syscalls.get((name, point))
        return {
            'cpu_us_per_message': cpu_us / messages,
            'user_us_per_message': ours['user_us'] / messages,
            'syscalls_per_message': syscalls,
            'completions_per_turn':
                ours['events'] / ours['turns'] if ours.get('turns') else None,
            'messages_per_second': messages / seconds,
            'p50_us': percentile_us(latency, 0.50),
            'p99_us': percentile_us(latency, 0.99),
            'rss_bytes_per_socket': max(0, used - before) / point.sockets,
            'idle_rss_bytes_per_socket': max(0, idle - before) / point.sockets,
            'cpu_share': cpu_us / 1e6 / seconds,
            'load_cpu_share': (theirs['user_us'] + theirs['system_us']) / 1e6 /
                              (theirs['clock_ns'] / 1e9),
            'sleeps_per_message': ours.get('sleeps', 0) / messages,
            'preemptions_per_second': ours.get('preemptions', 0) / seconds,
            'load_average': os.getloadavg()[0],
        }

    def count_syscalls(self, process, message_bytes):
        """System calls per message of a program that does not count its own:
        perf counts them for a moment after what was measured."""
        if self.counter is None:
            self.counter = perf_counts()
        if not self.counter:
            return None
        process.ask()
        first = process.answer()
        counted = subprocess.run(
            [*PERF, '-p', str(process.popen.pid), 'sleep', '0.25'],
            capture_output=True, text=True, check=False).stderr
        process.ask()
        passed = difference(process.answer(), first)
        rate = passed['bytes'] / message_bytes / (passed['clock_ns'] / 1e9)
        calls = re.search(r'([\d,]+)\s+raw_syscalls:sys_enter', counted)
        elapsed = re.search(r'([\d.]+) seconds time elapsed', counted)
        if not calls or not elapsed or rate == 0:
            return None
        return (int(calls.group(1).replace(',', '')) /
                float(elapsed.group(1)) / rate)


PERF = ('perf', 'stat', '-e', 'raw_syscalls:sys_enter')


def perf_counts():
    """Whether perf may count system calls here."""
    try:
        done = subprocess.run([*PERF, 'true'], capture_output=True, text=True,
                              check=False, env={**os.environ, 'LC_ALL': 'C'})
    except OSError:
        return False
    return re.search(r'\d\s+raw_syscalls:sys_enter', done.stderr) is not None


# --- the matrix -------------------------------------------------------------


def parse_points(text):
    """`echo:64`, `echo-few-active:10000/64`, `pipelined:512/4096`,
    `open-loop:1000@40000`; comma separated, `xBYTES` sets the message."""
    points = []
    for item in text.split(','):
        match = re.fullmatch(
            r'([a-z-]+):(\d+)(?:/(\d+))?(?:@(\d+))?(?:x(\d+))?', item)
        if not match or match.group(1) not in WORKLOADS:
            raise argparse.ArgumentTypeError(f'no point "{item}"')
        workload = match.group(1)
        sockets, in_flight, rate, message = (
            int(group) if group else 0 for group in match.groups()[1:])
        if workload == 'pipelined' and not in_flight:
            raise argparse.ArgumentTypeError(f'{item}: in flight is missing')
        if (workload == 'open-loop') != bool(rate):
            raise argparse.ArgumentTypeError(f'{item}: a rate is for open-loop')
        if workload == 'echo':
            in_flight = sockets
        elif workload == 'echo-few-active':
            in_flight = min(in_flight or 64, sockets)
        elif workload == 'open-loop':
            in_flight = 0
        points.append(Point(workload, sockets, in_flight,
                            message or (100 if workload == 'pipelined' else 64),
                            rate))
    return points


def parse_cpus(text):
    return {int(cpu) for cpu in text.split(',')}


def choose(options):
    """The (point, variants) pairs that the options ask for."""
    matrix = SHORT if options.short else FULL
    if options.points:
        known = dict(FULL)
        defaults = {'echo': ALL + (WAIT_ONE,), 'pipelined': ALL,
                    'echo-few-active': CORE, 'open-loop': OPEN}
        matrix = [(point, known.get(point, defaults[point.workload]))
                  for point in options.points]
    if options.workloads:
        matrix = [pair for pair in matrix
                  if pair[0].workload in options.workloads]
    if options.sizes:
        matrix = [pair for pair in matrix if pair[0].sockets in options.sizes]
    if options.variants:
        matrix = [(point, options.variants) for point, _ in matrix]
    return matrix


def run_matrix(study, matrix, options, log):
    """Rows of all repeats, and what was skipped: {(point or None, variant or
    None): why}."""
    rows, skipped = [], {}
    usable = []
    for point, variants in matrix:
        try:
            study.check_point(point)
            usable.append((point, variants))
        except Skip as skip:
            skipped[str(point), 'all'] = str(skip)
            log(f'skipped: {point}: {skip}')
    total = options.repeats * sum(len(variants) for _, variants in usable)
    done = 0
    dice = random.Random(options.seed)
    for repeat in range(1, options.repeats + 1):
        for point, variants in usable:
            order = list(variants)
            dice.shuffle(order)
            for name in order:
                done += 1
                if (str(point), name) in skipped:
                    continue
                try:
                    row = attempt(study, point, name, repeat == 1)
                except Skip as skip:
                    skipped[str(point), name] = str(skip)
                    log(f'skipped: {point}: {name}: {skip}')
                    continue
                except Failed as failure:
                    # What fails twice is no accident: said, and not repeated.
                    skipped[str(point), name] = f'failed: {failure}'
                    log(f'failed: {point}: {name}: {failure}')
                    continue
                row = {**dataclasses.asdict(point), 'point': str(point),
                       'variant': name, 'repeat': repeat, **row}
                rows.append(row)
                log(f'{done}/{total} {point}: {name}: '
                    f'{row["cpu_us_per_message"]:.2f} us CPU, '
                    f'{row["messages_per_second"]:.0f}/s')
    return rows, skipped


def attempt(study, point, name, first):
    try:
        return study.run(point, name, first)
    except Failed:
        return study.run(point, name, first)


def number(value):
    if value is None:
        return ''
    return f'{value:.4g}' if isinstance(value, float) and abs(value) < 1000 \
        else f'{value:.0f}'


def write_csv(path, rows):
    with open(path, 'w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow([row[name] if isinstance(row[name], (int, str))
                             else number(row[name]) for name in COLUMNS])


def describe(options, study):
    """What a reader has to know about where the numbers come from."""
    cpu = 'unknown'
    for line in pathlib.Path('/proc/cpuinfo').read_text().splitlines():
        if line.startswith('model name'):
            cpu = line.split(':', 1)[1].strip()
            break
    return {
        'date': datetime.datetime.now().astimezone().isoformat(timespec='seconds'),
        'command': options.command,
        'machine': f'{cpu}, {os.cpu_count()} CPUs',
        'kernel': platform.release(),
        'server_cpus': sorted(options.server_cpus),
        'load_cpus': sorted(options.load_cpus),
        'seconds': options.seconds,
        'warmup': options.warmup,
        'repeats': options.repeats,
        'shared_threads': options.shared_threads,
        'descriptors': study.limit,
        'load_average_at_start': os.getloadavg()[0],
        'perf': study.counter,
    }


def parse_options(arguments):
    split = lambda text: tuple(text.split(','))
    here = pathlib.Path(__file__).resolve()
    root = here.parents[2]
    parser = argparse.ArgumentParser(
        prog='./dev bench socket_scaling', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('--short', action='store_true',
        help='a matrix of minutes instead of hours')
    add('--points', type=parse_points, metavar='P,...',
        help=parse_points.__doc__)
    add('--workloads', type=split, metavar='W,...')
    add('--variants', type=split, metavar='V,...')
    add('--sizes', type=lambda text: {int(n) for n in text.split(',')},
        metavar='N,...', help='only points with this many sockets')
    add('--repeats', type=int, help='at least 5 for figures (default: 5, or 9 '
        'without --short)')
    add('--seconds', type=float, help='measured per run')
    add('--warmup', type=float, help='before it')
    add('--server-cpus', type=parse_cpus, metavar='CPU,...',
        help='of the measured process (default: the last one)')
    add('--load-cpus', type=parse_cpus, metavar='CPU,...',
        help='of the load (default: the first one)')
    add('--threads', type=int, default=0,
        help='of epoll-N, each with its instance (default: one per server CPU)')
    add('--shared-threads', type=int,
        help='that wait on the one instance of epoll-N-shared (default: 4 per '
        'server CPU)')
    add('--seed', type=int, default=1, help='of the order of variants')
    add('--programs', type=pathlib.Path,
        default=root / 'build/bench/benchmarks/socket_scaling')
    add('--out', type=pathlib.Path, default=root / 'build/bench',
        help='folder of socket_scaling.csv and the page')
    add('--no-plots', action='store_true')
    options = parser.parse_args(arguments)
    cpus = sorted(os.sched_getaffinity(0))
    options.server_cpus = options.server_cpus or {cpus[-1]}
    options.load_cpus = options.load_cpus or {cpus[0]}
    options.shared_threads = (options.shared_threads or
                              4 * len(options.server_cpus))
    options.repeats = options.repeats or (5 if options.short else 9)
    if options.seconds is None:
        options.seconds = 0.4 if options.short else 1.5
    if options.warmup is None:
        options.warmup = 0.2 if options.short else 0.5
    options.command = shlex.join(['./dev', 'bench', 'socket_scaling',
                                  *arguments])
    return options


def main(arguments):
    options = parse_options(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    log_path = options.out / 'socket_scaling.log'
    with open(log_path, 'w', encoding='utf-8') as log_file:

        def log(line):
            print(line, file=sys.stderr, flush=True)
            print(line, file=log_file, flush=True)

        study = Study(options)
        about = describe(options, study)
        started = time.monotonic()
        rows, skipped = run_matrix(study, choose(options), options, log)
        about['minutes'] = round((time.monotonic() - started) / 60, 1)
        about['perf'] = study.counter
    about['skipped'] = [
        {'point': point, 'variant': variant, 'why': why}
        for (point, variant), why in skipped.items()]
    write_csv(options.out / 'socket_scaling.csv', rows)
    with open(options.out / 'socket_scaling.json', 'w',
              encoding='utf-8') as file:
        json.dump({'about': about, 'rows': rows}, file, indent=1)
    # Here and not above: what only measures needs no plotting library.
    import report
    report.write(about, rows, options.out, plots=not options.no_plots)
    print(options.out / 'socket_scaling.md')
    return 0 if rows else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
