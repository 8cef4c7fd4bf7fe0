#!/usr/bin/env python3
"""Runs CQL clients against a fake cluster and writes the study's CSV and page.

Every run is one client, pinned to one set of cores, and one responder on
another. Clients take turns in random order within each repeat, so that the rows
of one repeat were measured under the same conditions. What a run does not
change (allocations, system calls of clients that do not count them,
instructions) is counted once for each point, before its first repeat.
"""

import argparse
import csv
import datetime
import json
import os
import pathlib
import platform
import shlex
import sys
import time

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parents[1] /
                       'socket_scaling'))
# pylint: disable=wrong-import-position
from client_runs import CLIENTS, Point, Runner
from study import number, parse_cpus, run_matrix

# The CSV's names, and those that the studies share.
COLUMNS = {
    'client': 'variant', 'connections': 'connections', 'shards': 'shards',
    'in_flight': 'in_flight', 'cpu_us_per_query': 'cpu_us_per_message',
    'user_us_per_query': 'user_us_per_message',
    'user_instructions_per_query': 'user_instructions_per_message',
    'allocations_per_query': 'allocations_per_message',
    'syscalls_per_query': 'syscalls_per_message',
    'queries_per_second': 'messages_per_second',
    'p50_us': 'p50_us', 'p99_us': 'p99_us', 'repeat': 'repeat'}

SHORT = (Point(1, 2, 1), Point(1, 2, 128), Point(1, 2, 1024),
         Point(1, 24, 128), Point(1, 24, 1024), Point(4, 96, 1024),
         Point(16, 96, 1024))
FULL = tuple(sorted(
    {Point(hosts, shards, in_flight)
     for hosts, shards in ((1, 2), (1, 24), (4, 96), (16, 96))
     for in_flight in (1, 128, 1024)} |
    {Point(1, 8, 1024), Point(1, 96, 1024), Point(8, 96, 1024)},
    key=lambda point: (point.connections, point.in_flight)))
INSTRUCTIONS = (Point(1, 2, 128), Point(1, 2, 1024))


def parse_points(text):
    """`HOSTSxSHARDS/IN_FLIGHT`, comma separated: `4x96/1024`."""
    points = []
    for item in text.split(','):
        try:
            layout, in_flight = item.split('/')
            hosts, shards = layout.split('x')
            points.append(Point(int(hosts), int(shards), int(in_flight)))
        except ValueError:
            raise argparse.ArgumentTypeError(f'no point "{item}"') from None
    return tuple(points)


def write_csv(path, rows):
    with open(path, 'w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow([row[name] if isinstance(row[name], (int, str))
                             else number(row[name])
                             for name in COLUMNS.values()])


def machine():
    for line in pathlib.Path('/proc/cpuinfo').read_text().splitlines():
        if line.startswith('model name'):
            return f'{line.split(":", 1)[1].strip()}, {os.cpu_count()} CPUs'
    return f'unknown, {os.cpu_count()} CPUs'


def parse_options(arguments):
    root = pathlib.Path(__file__).resolve().parents[2]
    programs = root / 'build/bench/benchmarks'
    parser = argparse.ArgumentParser(
        prog='./dev bench cql_client', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('--short', action='store_true',
        help='the points of the figures only, in ten minutes or so')
    add('--points', type=parse_points, metavar='P,...',
        help=parse_points.__doc__)
    add('--clients', type=lambda text: tuple(text.split(',')), metavar='C,...',
        default=CLIENTS, help=f'of {", ".join(CLIENTS)}')
    add('--repeats', type=int,
        help='at least 5 for figures (default: 5, or 11 without --short)')
    add('--seconds', type=float, help='measured per run')
    add('--warmup', type=float, help='before it')
    add('--client-cpus', type=parse_cpus, metavar='CPU,...',
        help='of the client (default: the last one)')
    add('--load-cpus', type=parse_cpus, metavar='CPU,...',
        help='of the responder (default: the first one)')
    add('--no-instructions', action='store_true',
        help='do not run clients under callgrind')
    add('--patience', type=float, default=120,
        help='seconds until a process that hangs is ended')
    add('--seed', type=int, default=1, help='of the order of clients')
    add('--programs', type=pathlib.Path, default=programs / 'cql_client')
    add('--alloc-count', type=pathlib.Path,
        default=programs / 'liballoc_count.so')
    add('--out', type=pathlib.Path, default=root / 'build/bench',
        help='folder of cql_client.csv and the page')
    add('--no-plots', action='store_true')
    options = parser.parse_args(arguments)
    cpus = sorted(os.sched_getaffinity(0))
    options.client_cpus = options.client_cpus or {cpus[-1]}
    options.load_cpus = options.load_cpus or {cpus[0]}
    options.points = options.points or (SHORT if options.short else FULL)
    options.instruction_points = (
        () if options.no_instructions else INSTRUCTIONS)
    options.repeats = options.repeats or (5 if options.short else 11)
    if options.seconds is None:
        options.seconds = 0.4 if options.short else 1.5
    if options.warmup is None:
        options.warmup = 0.3 if options.short else 0.5
    options.command = shlex.join(['./dev', 'bench', 'cql_client', *arguments])
    return options


def main(arguments):
    options = parse_options(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    runner = Runner(options)
    started = time.monotonic()
    with open(options.out / 'cql_client.log', 'w',
              encoding='utf-8') as log_file:

        def log(line):
            for file in (sys.stderr, log_file):
                print(line, file=file, flush=True)

        rows, skipped = run_matrix(
            runner, [(point, options.clients) for point in options.points],
            options, log)
    for row in rows:
        row['connections'] = row['hosts'] * row['shards']
    about = {
        'date': datetime.datetime.now().astimezone().isoformat(
            timespec='seconds'),
        'command': options.command,
        'machine': machine(),
        'kernel': platform.release(),
        'client_cpus': sorted(options.client_cpus),
        'load_cpus': sorted(options.load_cpus),
        'seconds': options.seconds,
        'warmup': options.warmup,
        'repeats': options.repeats,
        'minutes': round((time.monotonic() - started) / 60, 1),
        'skipped': [{'point': point, 'variant': client, 'why': why}
                    for (point, client), why in skipped.items()],
    }
    with open(options.out / 'cql_client.json', 'w', encoding='utf-8') as file:
        json.dump({'about': about, 'rows': rows}, file, indent=1)
    # Here and not above: what only measures needs no plotting library.
    import client_report
    rows = client_report.with_stand_in(rows)
    write_csv(options.out / 'cql_client.csv', rows)
    client_report.write(about, rows, options.out, plots=not options.no_plots)
    print(options.out / 'cql_client.md')
    return 0 if rows else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
