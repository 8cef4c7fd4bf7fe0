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
import shlex
import sys
import time

from runs import BUDGET, WAIT_ONE, Failed, Point, Runner, Skip

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
OPEN = ('floor', 'ioloop', WAIT_ONE, 'ioloop-epoll-128', 'epoll-128') + PEERS


def echo(sockets, message_bytes=64):
    return Point('echo', sockets, sockets, message_bytes)


def few(sockets, active=64):
    return Point('echo-few-active', sockets, min(active, sockets), 64)


def pipelined(connections, in_flight):
    return Point('pipelined', connections, in_flight, 100)


def open_loop(rate, sockets=1000):
    return Point('open-loop', sockets, 0, 64, rate)


# (point, variants). The short matrix takes minutes, that of the figures half an
# hour, the full one hours.
SHORT = [
    (echo(64), CORE),
    (echo(1000), ALL + (BUDGET,)),
    (echo(10000), CORE),
    (few(1000), ('floor', 'ioloop', 'epoll-128', 'go')),
    (few(10000), ('floor', 'ioloop', 'epoll-128', 'go')),
    (pipelined(512, 4096), ALL),
    (open_loop(40000), ('floor', 'ioloop', WAIT_ONE, 'epoll-128', 'go')),
]
FIGURES = [
    (echo(64), ('floor', 'ioloop') + PEERS),
    (echo(1000), ('floor', 'ioloop', BUDGET) + PEERS),
    (echo(10000), ('floor', 'ioloop') + PEERS),
    (pipelined(128, 512), ('floor', 'ioloop', 'epoll-128', 'epoll-4096')),
    (pipelined(512, 4096), ('floor', 'ioloop', 'epoll-128', 'epoll-4096')),
    (pipelined(1500, 4096), ('floor', 'ioloop', 'epoll-128', 'epoll-4096')),
    (open_loop(1000), ('ioloop', WAIT_ONE)),
    (open_loop(40000), ('ioloop', WAIT_ONE)),
]
FULL = (
    [(echo(n), ALL + (BUDGET,)) for n in (64, 256, 1000, 4000, 10000, 19900)]
    + [(echo(1000, 1024), CORE)]
    + [(few(n), CORE) for n in (64, 1000, 10000, 19900)]
    + [(pipelined(128, 512), ALL)]
    + [(pipelined(c, 4096), ALL) for c in (128, 512, 1500, 4000)]
    + [(open_loop(rate), OPEN) for rate in (1000, 10000, 40000, 80000)])


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
    matrix = (SHORT if options.short else
              FIGURES if options.figures else FULL)
    if options.points:
        known = dict(FULL)
        defaults = {'echo': ALL + (BUDGET,), 'pipelined': ALL,
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


def run_matrix(runner, matrix, options, log):
    """Rows of all repeats, and what was skipped: {(point or None, variant or
    None): why}."""
    rows, skipped = [], {}
    usable = []
    for point, variants in matrix:
        try:
            runner.check_point(point)
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
                    row = attempt(runner, point, name, repeat == 1)
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


def attempt(runner, point, name, first):
    try:
        return runner.run(point, name, first)
    except Failed:
        return runner.run(point, name, first)


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


def describe(options, runner):
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
        'latency_budget_us': options.latency_budget_us,
        'descriptors': runner.limit,
        'load_average_at_start': os.getloadavg()[0],
        'perf': runner.counter,
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
    add('--figures', action='store_true',
        help='only what the figures that are aimed at need; prints them')
    add('--points', type=parse_points, metavar='P,...',
        help=parse_points.__doc__)
    add('--workloads', type=split, metavar='W,...')
    add('--variants', type=split, metavar='V,...')
    add('--sizes', type=lambda text: {int(n) for n in text.split(',')},
        metavar='N,...', help='only points with this many sockets')
    add('--repeats', type=int, help='at least 9 to quote (default: 9; --short: '
        '5, --figures: 11)')
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
    add('--latency-budget-us', type=int, default=200,
        help='of ioloop in open-loop, and of ioloop-budget (default: 200)')
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
    repeats, seconds, warmup = ((5, 0.25, 0.15) if options.short else
                                (11, 1.0, 0.4) if options.figures else
                                (9, 1.5, 0.5))
    options.repeats = options.repeats or repeats
    options.seconds = seconds if options.seconds is None else options.seconds
    options.warmup = warmup if options.warmup is None else options.warmup
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

        runner = Runner(options)
        about = describe(options, runner)
        started = time.monotonic()
        rows, skipped = run_matrix(runner, choose(options), options, log)
        about['minutes'] = round((time.monotonic() - started) / 60, 1)
        about['perf'] = runner.counter
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
    if options.figures:
        print(report.figures_table(report.Results(rows), about), end='')
    print(options.out / 'socket_scaling.md')
    return 0 if rows else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
