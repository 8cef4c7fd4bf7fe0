"""One run of the socket-scaling study: a measured process, a process of load,
and the difference of what both count at two moments (see measure.h)."""

import dataclasses
import os
import pathlib
import re
import resource
import signal
import subprocess
import threading
import time

# `ioloop` has its defaults in closed loops and the latency budget in open ones,
# where waiting is what there is to choose; these are the other way round.
WAIT_ONE = 'ioloop-wait-1'
BUDGET = 'ioloop-budget'
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


# --- processes --------------------------------------------------------------


class Process:
    """A program of the study: lines come from it, lines and signals go."""

    def __init__(self, command, cpus, patience):
        self.name = pathlib.Path(command[0]).name
        self.popen = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus))
        self.errors = []
        self.drain = threading.Thread(
            target=lambda: self.errors.extend(self.popen.stderr), daemon=True)
        self.drain.start()
        # A program that hangs must not hang the study.
        self.watchdog = threading.Timer(patience, self.popen.kill)
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
        self.drain.join()
        for stream in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            stream.close()


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


class Runner:

    def __init__(self, options):
        self.options = options
        self.programs = options.programs
        self.syscalls = {}  # Of peers, by (variant, point).
        self.counter = None  # Whether perf counts them, once it was asked.
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

    def variant(self, point, name):
        """The command of a variant."""
        name, *extra = name.split('+')  # `ioloop+--buffers=256`, for trials.
        if extra:
            return [*self.variant(point, name), *extra]
        if name in ('ioloop', WAIT_ONE, BUDGET):
            budget = 0
            if name == BUDGET or name == 'ioloop' and point.rate:
                budget = self.options.latency_budget_us
            return [self.program('ioloop'), f'--latency-budget-us={budget}']
        match = re.fullmatch(r'ioloop-epoll-(\d+)', name)
        if match:
            return [self.program('ioloop'), f'--epoll-batch={match.group(1)}']
        match = re.fullmatch(r'epoll-(\d+)(-shared)?', name)
        if match:
            shared = match.group(2) is not None
            threads = (self.options.shared_threads if shared else
                       self.options.threads or len(self.options.server_cpus))
            return [self.program('epoll'), f'--batch={match.group(1)}',
                    f'--threads={threads}', f'--shared={int(shared)}']
        return [self.program(name)]

    def run(self, point, name, count_syscalls):
        """Measures once. Returns what is known about it, by name."""
        command = self.variant(point, name)
        processes = []

        patience = 60 + 2 * (self.options.warmup + self.options.seconds)

        def start(args, cpus):
            processes.append(Process(args, cpus, patience))
            return processes[-1]

        try:
            if point.workload == 'pipelined':
                pair = self.start_pipelined(point, command, start)
            else:
                pair = self.start_echo(point, command, start)
            return self.measure(point, name, *pair, count_syscalls)
        finally:
            # Whoever accepted resets its connections as it ends: first.
            if point.workload != 'pipelined':
                processes.reverse()
            for process in processes:
                process.end()

    def start_echo(self, point, command, start):
        server = start([*command, 'echo', f'--sockets={point.sockets}',
                        f'--message={point.message_bytes}'],
                       self.options.server_cpus)
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

    def start_pipelined(self, point, command, start):
        responder = start([self.program('floor'), 'echo',
                           f'--sockets={point.sockets}', '--buffer=8192'],
                          self.options.load_cpus)
        port, = responder.expect('listening')
        client = start([*command, 'pipelined', f'--port={port}',
                        f'--sockets={point.sockets}',
                        f'--in-flight={point.in_flight}',
                        f'--message={point.message_bytes}'],
                       self.options.server_cpus)
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
            # Of an open loop: a load that fell behind measured something else.
            'on_time': messages / seconds >= 0.98 * point.rate,
            'p50_us': percentile_us(latency, 0.50),
            'p99_us': percentile_us(latency, 0.99),
            'rss_bytes_per_socket': max(0, used - before) / point.sockets,
            'idle_rss_bytes_per_socket': max(0, idle - before) / point.sockets,
            # Without the coroutine of the program that serves the socket;
            # where the program does not say how large that is, unknown.
            'library_rss_bytes_per_socket':
                max(0, idle - before) / point.sockets -
                reports[1][0]['frame_bytes']
                if 'frame_bytes' in reports[1][0] else None,
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
