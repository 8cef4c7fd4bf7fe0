#!/usr/bin/env python3
"""The page of the socket-scaling study: what was measured, where, medians with
their spread, paired ratios, and what follows from them.

usage: report.py [socket_scaling.json]    writes the page and plots again
"""

import collections
import json
import pathlib
import statistics
import sys

PEERS = ('go', 'libuv', 'asio-epoll', 'asio-uring', 'tokio', 'monoio')
EPOLL = ('epoll-16', 'epoll-128', 'epoll-1024', 'epoll-4096')
WAIT_ONE = 'ioloop-wait-1'
BUDGET = 'ioloop-budget'


class Results:
    """Rows by point and variant."""

    def __init__(self, rows):
        self.points = list(dict.fromkeys(row['point'] for row in rows))
        self.by_key = collections.defaultdict(dict)
        self.variants = collections.defaultdict(list)
        for row in rows:
            key = row['point'], row['variant']
            self.by_key[key][row['repeat']] = row
            if row['variant'] not in self.variants[row['point']]:
                self.variants[row['point']].append(row['variant'])

    def rows(self, point, variant):
        return list(self.by_key.get((point, variant), {}).values())

    def values(self, point, variant, column):
        return [row[column] for row in self.rows(point, variant)
                if row[column] is not None]

    def spread(self, point, variant, column):
        """(median, lowest, highest), or None."""
        values = self.values(point, variant, column)
        if not values:
            return None
        return statistics.median(values), min(values), max(values)

    def mean(self, point, variant, column):
        values = self.values(point, variant, column)
        return statistics.fmean(values) if values else None

    def ratio(self, point, variant, base, column='cpu_us_per_message'):
        """The spread of the ratio within each repeat, or None."""
        return self.pairs(point, variant, base, column, lambda a, b: a / b)


    def difference(self, point, variant, base, column):
        """The spread of the difference within each repeat, or None."""
        return self.pairs(point, variant, base, column, lambda a, b: a - b)

    def pairs(self, point, variant, base, column, combine):
        ours = self.by_key.get((point, variant), {})
        theirs = self.by_key.get((point, base), {})
        values = [combine(ours[repeat][column], theirs[repeat][column])
                  for repeat in ours if repeat in theirs]
        if not values:
            return None
        return statistics.median(values), min(values), max(values), len(values)


def text(value):
    """Three significant digits."""
    if value is None:
        return ''
    if value < 0:
        return '-' + text(-value)
    if value >= 1000:
        return f'{value:,.0f}'
    if value >= 100:
        return f'{value:.0f}'
    if value >= 10:
        return f'{value:.1f}'
    if value >= 0.1 or value == 0:
        return f'{value:.2f}'
    return f'{value:.4f}'


def spread_text(spread):
    if spread is None:
        return ''
    return f'{text(spread[0])} ({text(spread[1])} to {text(spread[2])})'


def table(header, rows):
    lines = ['| ' + ' | '.join(header) + ' |', '|' + '---|' * len(header)]
    lines += ['| ' + ' | '.join(row) + ' |' for row in rows]
    return '\n'.join(lines) + '\n'


# --- the figures that are aimed at ------------------------------------------


def figures(results, budget_us):
    """(what, point, ratio or value with spread, goal) of every figure that the
    study is asked for; None where it was not measured."""
    found = []

    def ratio(what, point, base, goal, variant='ioloop'):
        found.append((what, point, results.ratio(point, variant, base), goal))

    def value(what, point, column, goal):
        spread = results.spread(point, 'ioloop', column)
        if spread:
            spread += (len(results.rows(point, 'ioloop')),)
        found.append((what, point, spread, goal))

    for sockets in (64, 1000, 10000):
        point = f'echo {sockets}'
        ratio('CPU, ioloop / floor', point, 'floor', 1.10)
        for peer in PEERS:
            ratio(f'CPU, ioloop / {peer}', point, peer, 1.0)
        value('enters per message, ioloop', point, 'syscalls_per_message', 0.06)
    ratio('CPU, ioloop / epoll-4096', 'pipelined 128/512', 'epoll-4096', 1.05)
    ratio('CPU, ioloop / epoll-128', 'pipelined 128/512', 'epoll-128', None)
    for connections, goal in ((512, 0.45), (1500, 0.33)):
        point = f'pipelined {connections}/4096'
        ratio('CPU, ioloop / epoll-128', point, 'epoll-128', goal)
        ratio('CPU, ioloop / epoll-4096', point, 'epoll-4096', 1.0)
    partial = 'open-loop 1000 at 40000/s'
    ratio('CPU, ioloop / wait-for-one', partial, WAIT_ONE, 0.6)
    found.append(('p99 that the budget adds, µs', partial,
                  results.difference(partial, 'ioloop', WAIT_ONE, 'p99_us'),
                  budget_us))
    ratio('CPU near idle, ioloop / wait-for-one', 'open-loop 1000 at 1000/s',
          WAIT_ONE, 1.0)
    ratio('CPU saturated, with budget / wait-for-one', 'echo 1000', 'ioloop', 1.0,
          BUDGET)
    value('library memory per idle socket, B', 'echo 10000',
          'library_rss_bytes_per_socket', 256)
    return found


def verdict(value, goal):
    if value is None:
        return 'not measured'
    if goal is None:
        return ''
    if value[0] <= goal:
        return 'met'
    return 'within the spread' if value[1] <= goal else 'missed'


def figures_table(results, about):
    rows = []
    for what, point, value, goal in figures(results,
                                            about['latency_budget_us']):
        rows.append((point, what, spread_text(value),
                     str(value[3]) if value else '',
                     f'≤ {goal:g}' if goal else '', verdict(value, goal)))
    return table(('point', 'figure', 'median (lowest to highest)', 'pairs',
                  'goal', ''), rows)


# --- the page ---------------------------------------------------------------


def point_table(results, point):
    rows = []
    order = sorted(results.variants[point], key=lambda variant: results.spread(
        point, variant, 'cpu_us_per_message')[0])
    for name in order:

        def median(column, variant=name):
            spread = results.spread(point, variant, column)
            return text(spread[0]) if spread else ''

        rows.append((
            f'`{name}`',
            spread_text(results.spread(point, name, 'cpu_us_per_message')),
            text(results.mean(point, name, 'user_us_per_message')),
            spread_text(results.ratio(point, name, 'floor')),
            spread_text(results.ratio(point, name, 'epoll-128')),
            median('syscalls_per_message'), median('completions_per_turn'),
            median('messages_per_second'), median('p50_us'), median('p99_us'),
            median('rss_bytes_per_socket'), median('idle_rss_bytes_per_socket'),
            median('cpu_share'), median('load_cpu_share')))
    return table(
        ('variant', 'CPU µs/message', 'user µs (mean)', '/ floor',
         '/ epoll-128', 'syscalls', 'per turn', 'messages/s', 'p50 µs',
         'p99 µs', 'B/socket', 'idle B/socket', 'busy', 'load busy'),
        rows) + late_note(results, point)


def late_note(results, point):
    late = []
    for name in results.variants[point]:
        count = sum(not row['on_time'] for row in results.rows(point, name))
        if count:
            late.append(f'`{name}` {count}')
    if not late:
        return ''
    return ('\nThe load or the server fell behind the rate, which spoils a run '
            f'as a measure of partial load; repeats: {", ".join(late)}.\n')


READING = '''\
**CPU per message** is user and system time of the measured process, over the
messages that passed it; a message is one request and its answer. The machine's
neighbours and clock change it from minute to minute: compare within this page,
and trust the ratios, which are taken within each repeat, more than the times.

**user** is sampled by the kernel's clock tick, so single rows are coarse; the
mean over the repeats is given. **syscalls** are counted by the program for
`floor`, `ioloop` and `epoll`, and by perf for the others, once per point over a
quarter of a second. **per turn** is how many received chunks one wait brought.
**B/socket** is anonymous memory that grew from before the first connection to
the end of the run, buffer pools included, over the sockets; *idle* is the same
before the first message. The kernel's own memory is in neither.

A reader may conclude how these programs compare on this machine, over loopback,
on one core, for small messages. Loopback charges the sender with the receiver's
part of TCP, and neither network cards nor their interrupts take part. What many
cores do to one shared instance cannot be seen with fewer cores than threads:
`epoll-N-shared` here shows what sharing costs without contention for the lock,
unless `--server-cpus` gives it more cores. Latencies of closed loops follow
from the throughput (in flight / messages per second) and are no quality of a
variant; those of the open loop are, as long as the load itself was on time.
**busy** and **load busy** are the shares of their cores that the two processes
used: a closed loop whose load is busier than the measured process measures
that process with pauses.
'''


def page(about, rows, images):
    results = Results(rows)
    parts = ['# Socket scaling\n']
    parts.append(table(('', ''), [
        ('command', f'`{about["command"]}`'),
        ('date', about['date']),
        ('machine', about['machine']),
        ('kernel', about['kernel']),
        ('cores', f'measured process on {about["server_cpus"]}, load on '
                  f'{about["load_cpus"]}'),
        ('runs', f'{about["repeats"]} repeats of {about["seconds"]} s after '
                 f'{about["warmup"]} s, variants in random order within each; '
                 f'{about["minutes"]} minutes in all'),
        ('load average', ' to '.join(
            f'{value:.1f}' for value in (
                min(row['load_average'] for row in rows),
                max(row['load_average'] for row in rows))) if rows else ''),
        ('threads', f'`epoll-N-shared`: {about["shared_threads"]} on one '
                    'instance; all others one'),
        ('latency budget', f'{about["latency_budget_us"]} µs: `ioloop` in '
                           'open-loop, and `ioloop-budget`'),
    ]))
    if about['repeats'] < 9:
        parts.append(f'\n{about["repeats"]} repeats give an impression; '
                     'figures to quote take at least 9.\n')
    parts.append('\n## Figures\n\n' + figures_table(results, about))
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
        parts.append(table(('variant', 'points', 'why'), [
            (variant, ', '.join(points), why)
            for (variant, why), points in grouped.items()]))
    else:
        parts.append('Nothing.\n')
    return ''.join(parts)


def write(about, rows, folder, plots):
    images = []
    if plots and rows:
        try:
            import plots as plotting
        except ImportError as error:
            print(f'no plots: {error}; python3-matplotlib is needed',
                  file=sys.stderr)
        else:
            images = plotting.draw(Results(rows), rows, folder)
    (folder / 'socket_scaling.md').write_text(page(about, rows, images),
                                              encoding='utf-8')


def main(arguments):
    root = pathlib.Path(__file__).resolve().parents[2]
    path = pathlib.Path(arguments[0]) if arguments else (
        root / 'build/bench/socket_scaling.json')
    data = json.loads(path.read_text(encoding='utf-8'))
    write(data['about'], data['rows'], path.parent, plots=True)
    print(path.with_suffix('.md'))


if __name__ == '__main__':
    main(sys.argv[1:])
