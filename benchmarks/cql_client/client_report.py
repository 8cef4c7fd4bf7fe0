#!/usr/bin/env python3
"""The page of the CQL client study: figures with their targets, medians with
spread, plots, and what a reader may conclude.

usage: client_report.py [cql_client.json]    writes the page and plots again
"""

import collections
import json
import pathlib
import sys

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parents[1] /
                       'socket_scaling'))
# pylint: disable=wrong-import-position
from client_runs import CPP, FLOOR, GOCQL, OURS, RUST, Point
from report import Results, spread_text, table, text, verdict

PEERS = (GOCQL, RUST, CPP)
CPU = 'cpu_us_per_message'
KIB = 1024

# Measured once on a machine like those that this is developed on, where no
# registry had the C++ driver: its CPU time per query, and that of the floor of
# that run (bare epoll). Where the driver cannot be had here either, the first
# scaled by this run's floor stands in.
REFERENCE = {
    Point(1, 2, 128): (2.3, 0.29), Point(1, 2, 1024): (2.3, 0.064),
    Point(1, 24, 128): (2.3, 0.29), Point(1, 24, 1024): (2.3, 0.27),
    Point(4, 96, 1024): (12.6, 3.4), Point(16, 96, 1024): (18.9, 7.3)}


def with_stand_in(rows):
    """The rows, and some for the C++ driver if it has none."""
    if any(row['variant'] == CPP for row in rows):
        return rows
    made = []
    for row in rows:
        reference = REFERENCE.get(
            Point(row['hosts'], row['shards'], row['in_flight']))
        if row['variant'] != FLOOR or reference is None:
            continue
        driver, floor = reference
        known = ('hosts', 'shards', 'connections', 'in_flight', 'point',
                 'repeat')
        made.append({
            **{name: row[name] if name in known else None for name in row},
            'variant': CPP, 'stand_in': True, CPU: driver * row[CPU] / floor})
    return rows + made


# --- the figures that are aimed at ------------------------------------------


def best_peer(results, point):
    """The peer with the lowest median, or None."""
    known = [(results.spread(point, peer, CPU)[0], peer) for peer in PEERS
             if results.rows(point, peer)]
    return min(known)[1] if known else None


def figures(results):
    """(point, what, goal, value with spread or None) of every figure that is
    asked for."""
    found = []

    def ratio(point, peer, goal, column=CPU, what='CPU'):
        value = (results.ratio(str(point), OURS, peer, column)
                 if peer and results.rows(str(point), OURS) else None)
        found.append((str(point), f'{what}, {OURS} / {peer or "best peer"}',
                      goal, value))

    def value(point, column, goal, what, scale=1):
        spread = results.spread(str(point), OURS, column)
        if spread:
            spread = tuple(round(part / scale, 3) for part in spread) + (
                len(results.rows(str(point), OURS)),)
        found.append((str(point), what, goal, spread))

    for point in (Point(1, 2, 128), Point(1, 2, 1024), Point(1, 24, 128),
                  Point(1, 24, 1024)):
        ratio(point, best_peer(results, str(point)), 0.40)
        ratio(point, GOCQL, 0.12)
    for point in (Point(1, 2, 128), Point(1, 2, 1024)):
        value(point, 'user_instructions_per_message', 2500,
              'user instructions per query')
    for point in (Point(1, 2, 128), Point(1, 2, 1024), Point(1, 24, 1024),
                  Point(16, 96, 1024)):
        value(point, 'allocations_per_message', 0, 'allocations per query')
    for point in (Point(1, 2, 1024), Point(1, 24, 1024)):
        value(point, 'syscalls_per_message', 0.05, 'system calls per query')
    ratio(Point(1, 2, 1), RUST, 1.0)
    ratio(Point(1, 2, 1), RUST, 1.0, 'p50_us', 'p50')
    for point in (Point(4, 96, 1024), Point(16, 96, 1024)):
        ratio(point, best_peer(results, str(point)), 0.5)
        ratio(point, RUST, 1.0, 'p50_us', 'p50')
    value(Point(16, 96, 1024), 'idle_bytes_per_connection', 64,
          'KiB of memory per idle pair of connections', KIB)
    return found


def figures_table(results):
    rows = []
    for point, what, goal, value in figures(results):
        said = verdict(value, goal)
        if value and goal == 0:
            said = 'met' if value[0] == 0 else 'missed'
        rows.append((point, what, f'≤ {goal:,g}', text(value[0]) if value else '',
                     f'{text(value[1])} to {text(value[2])}' if value else '',
                     str(value[3]) if value else '', said))
    return table(('point', 'figure', 'target', 'median', 'spread', 'pairs',
                  'met'), rows)


# --- the page ---------------------------------------------------------------


def point_table(results, point):
    order = sorted(results.variants[point],
                   key=lambda name: results.spread(point, name, CPU)[0])
    rows = []
    for name in order:

        def median(column, variant=name):
            spread = results.spread(point, variant, column)
            return text(spread[0]) if spread else ''

        stands_in = any(row.get('stand_in')
                        for row in results.rows(point, name))
        rows.append((
            f'`{name}`' + (' (stand-in)' if stands_in else ''),
            spread_text(results.spread(point, name, CPU)),
            text(results.mean(point, name, 'user_us_per_message')),
            spread_text(results.ratio(point, name, OURS))
            if results.rows(point, OURS) else '',
            median('user_instructions_per_message'),
            median('allocations_per_message'),
            median('syscalls_per_message'), median('messages_per_second'),
            median('p50_us'), median('p99_us'), median('opened'),
            median('idle_bytes_per_connection'), median('cpu_share'),
            median('load_cpu_share')))
    return table(
        ('client', 'CPU µs/query', 'user µs (mean)', f'/ {OURS}',
         'instructions', 'allocations', 'syscalls', 'queries/s', 'p50 µs',
         'p99 µs', 'opened', 'idle B/connection', 'busy', 'responder busy'),
        rows)


READING = '''\
Every client asks the same responder for one row of ten columns by its key, with
the same statement, prepared once, and reads all ten; the answers leave the
columns' names and types out for all of them, which the responder checks. Each
keeps as many requests in flight as the point says and asks again as soon as an
answer is there. Keys are spread over all shards of all hosts; each client
routes by token to the shard that owns the key, but the C++ driver, which knows
no shards and spreads over its connections to the host.

**Connections** are those that carry queries. `ringplane` opens another one per
shard for writes, idle here; clients also keep a control connection. *opened* is
what the responder counted. **CPU** is user and system time of the client's
process per answered query; user time alone is sampled by the kernel's tick, so
its mean is given. **instructions** are user instructions per query under
callgrind (what a five times longer run has more), **allocations** the calls of
malloc and its like (of Go its heap's objects), both counted in runs of their
own, as are the **system calls** of clients that do not count them themselves.
**idle B/connection** is anonymous memory gained from before the session was
made until all its connections were there, over the connections; for `ringplane`
that is a pair.

`floor` sends and receives the same bytes on a bare ring and looks at stream ids
only. The machine's neighbours and clock change times from minute to minute:
trust the ratios, which are taken within each repeat, more than the times.
Loopback charges a sender with the receiver's part of TCP. Latencies follow from
the throughput (in flight / queries per second), but for one in flight. **busy**
and **responder busy** are shares of a core: where the responder is the busier
one, clients are measured with pauses.
'''


def conclusion(results):
    """What the figures say, in words that change with them."""
    counted = collections.Counter(
        'met' if value and (verdict(value, goal) == 'met' or
                            goal == 0 == value[0])
        else 'missed' if value else 'not measured'
        for _, _, goal, value in figures(results))
    return (f'Of {counted.total()} figures {counted["met"]} are met, '
            f'{counted["missed"]} missed and {counted["not measured"]} not '
            'measured in this run.\n')


def page(about, rows, images):
    results = Results(rows)
    parts = ['# CQL client\n', table(('', ''), [
        ('command', f'`{about["command"]}`'),
        ('date', about['date']),
        ('machine', about['machine']),
        ('kernel', about['kernel']),
        ('cores', f'client on {about["client_cpus"]}, responder on '
                  f'{about["load_cpus"]}'),
        ('runs', f'{about["repeats"]} repeats of {about["seconds"]} s after '
                 f'{about["warmup"]} s, clients in random order within each; '
                 f'{about["minutes"]} minutes in all'),
        ('load average', ' to '.join(
            f'{pick(row["load_average"] for row in rows if row["load_average"]):.1f}'
            for pick in (min, max)) if rows else ''),
    ])]
    parts.append('\n## Figures\n\n' + figures_table(results))
    parts.append('\n' + conclusion(results))
    if any(row.get('stand_in') for row in rows):
        parts.append(
            '\nThe C++ driver could not be had: its CPU time as measured '
            "elsewhere, scaled by the floor of this run against that run's "
            'floor, stands in.\n')
    for name, caption in images:
        parts.append(f'\n![{caption}]({name}.svg)\n\n{caption}\n')
    parts.append('\n## How to read it\n\n' + READING)
    for point in results.points:
        parts.append(f'\n## {point}\n\n' + point_table(results, point))
    parts.append('\n## Skipped\n\n')
    if about['skipped']:
        grouped = collections.defaultdict(list)
        for entry in about['skipped']:
            grouped[entry['variant'], entry['why']].append(entry['point'])
        parts.append(table(('client', 'points', 'why'), [
            (client, ', '.join(points), why)
            for (client, why), points in grouped.items()]))
    else:
        parts.append('Nothing.\n')
    return ''.join(parts)


def write(about, rows, folder, plots):
    images = []
    if plots and rows:
        try:
            import client_plots
        except ImportError as error:
            print(f'no plots: {error}; python3-matplotlib is needed',
                  file=sys.stderr)
        else:
            images = client_plots.draw(Results(rows), rows, folder)
    (folder / 'cql_client.md').write_text(page(about, rows, images),
                                          encoding='utf-8')


def main(arguments):
    root = pathlib.Path(__file__).resolve().parents[2]
    path = pathlib.Path(arguments[0]) if arguments else (
        root / 'build/bench/cql_client.json')
    data = json.loads(path.read_text(encoding='utf-8'))
    write(data['about'], with_stand_in(data['rows']), path.parent, plots=True)
    print(path.with_suffix('.md'))


if __name__ == '__main__':
    main(sys.argv[1:])
