"""The plots of the socket-scaling study, each as SVG and PNG."""

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from matplotlib import ticker

STYLE = {
    'floor': ('black', '--'), 'ioloop': ('tab:red', '-'),
    'ioloop-wait-1': ('tab:pink', '-'), 'ioloop-epoll-128': ('tab:orange', '-'),
    'epoll-128': ('tab:blue', '-'), 'go': ('tab:cyan', '-'),
    'libuv': ('tab:green', '-'), 'asio-epoll': ('tab:purple', '-'),
    'asio-uring': ('tab:purple', ':'), 'tokio': ('tab:brown', '-'),
    'monoio': ('tab:olive', '-'), 'epoll-4096': ('tab:blue', ':'),
}
BATCHES = (16, 128, 1024, 4096)
CPU = 'cpu_us_per_message'


def style(variant):
    color, line = STYLE.get(variant, ('gray', '-'))
    return {'color': color, 'linestyle': line}


def save(figure, folder, name):
    figure.tight_layout()
    for suffix in ('svg', 'png'):
        figure.savefig(folder / f'{name}.{suffix}', dpi=120)
    plt.close(figure)
    return name


def points_of(rows, workload):
    """The points of a workload with what tells them apart, in order."""
    found = {row['point']: row for row in rows if row['workload'] == workload}
    return sorted(found.items(),
                  key=lambda item: (item[1]['message_bytes'],
                                    item[1]['sockets'], item[1]['in_flight'],
                                    item[1]['rate']))


def named(results, point):
    """The variants that have a style of their own, in its order."""
    return [name for name in STYLE if name in results.variants[point]]


def errors(spreads):
    return [[median - low for median, low, _ in spreads],
            [high - median for median, _, high in spreads]]


def sockets_plot(results, rows, workload, folder):
    points = [(point, row['sockets']) for point, row in
              points_of(rows, workload) if row['message_bytes'] == 64]
    if len(points) < 2:
        return None
    figure, axes = plt.subplots(figsize=(8, 5))
    for name in STYLE:
        known = [(sockets, results.spread(point, name, CPU))
                 for point, sockets in points
                 if name in results.variants[point]]
        if not known:
            continue
        axes.errorbar([sockets for sockets, _ in known],
                      [spread[0] for _, spread in known],
                      yerr=errors([spread for _, spread in known]),
                      marker='o', markersize=3, capsize=2, label=name,
                      **style(name))
    axes.set_xscale('log')
    axes.set_xticks([sockets for _, sockets in points],
                    [f'{sockets:,}' for _, sockets in points])
    axes.set_ylim(bottom=0)
    axes.set_xlabel('sockets')
    axes.set_ylabel('CPU µs per message')
    axes.legend(fontsize=8, ncol=2)
    axes.grid(alpha=0.3)
    return save(figure, folder, f'socket_scaling_{workload}')


def split_plot(results, rows, folder):
    points = [point for point, row in points_of(rows, 'echo')
              if row['message_bytes'] == 64]
    if not points:
        return None
    figure, all_axes = plt.subplots(1, len(points), squeeze=False,
                                    figsize=(3 * len(points) + 1.5, 4.5),
                                    sharey=True)
    for axes, point in zip(all_axes[0], points):
        names = named(results, point)
        user = [results.mean(point, name, 'user_us_per_message')
                for name in names]
        both = [results.mean(point, name, CPU) for name in names]
        axes.bar(names, user, color='tab:orange', label='user')
        axes.bar(names, [b - u for b, u in zip(both, user)], bottom=user,
                 color='tab:blue', label='system')
        axes.set_title(point, fontsize=9)
        axes.tick_params(axis='x', rotation=90)
    all_axes[0][0].set_ylabel('CPU µs per message (means)')
    all_axes[0][0].legend()
    return save(figure, folder, 'socket_scaling_split')


def pipelined_plot(results, rows, folder):
    points = [point for point, _ in points_of(rows, 'pipelined')]
    if not points:
        return None
    figure, all_axes = plt.subplots(1, len(points), squeeze=False,
                                    figsize=(3.4 * len(points) + 1.5, 4.5))
    for axes, point in zip(all_axes[0], points):
        names = named(results, point)
        spreads = [results.spread(point, name, CPU) for name in names]
        axes.bar(names, [spread[0] for spread in spreads],
                 yerr=errors(spreads), capsize=2,
                 color=[style(name)['color'] for name in names])
        axes.set_title(point.replace('pipelined ', '') +
                       ' connections/in flight', fontsize=9)
        axes.tick_params(axis='x', rotation=90)
    all_axes[0][0].set_ylabel('client CPU µs per query')
    return save(figure, folder, 'socket_scaling_pipelined')


def open_loop_plot(results, rows, folder):
    points = points_of(rows, 'open-loop')
    if not points:
        return None
    figure, all_axes = plt.subplots(1, len(points), squeeze=False,
                                    figsize=(4 * len(points) + 1, 4.5))
    for axes, (point, row) in zip(all_axes[0], points):
        for name in named(results, point):
            cpu = results.spread(point, name, CPU)[0]
            p50 = results.spread(point, name, 'p50_us')
            p99 = results.spread(point, name, 'p99_us')
            if p50 is None or p99 is None:
                continue
            axes.plot([p50[0], p99[0]], [cpu, cpu], marker='o', markersize=4,
                      label=name, **style(name))
        axes.set_xscale('log')
        axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(lambda value, _: f'{value:,.0f}')
        axes.xaxis.set_minor_locator(ticker.NullLocator())
        axes.tick_params(axis='x', labelrotation=45, labelsize=7)
        axes.set_ylim(bottom=0)
        axes.set_title(f'{row["rate"]:,} messages/s over '
                       f'{row["sockets"]:,} sockets', fontsize=9)
        axes.set_xlabel('latency µs: median to 99th percentile')
        axes.grid(alpha=0.3)
    all_axes[0][0].set_ylabel('CPU µs per message')
    all_axes[0][-1].legend(fontsize=7)
    return save(figure, folder, 'socket_scaling_open_loop')


def memory_plot(results, rows, folder):
    points = [point for point, row in points_of(rows, 'echo')
              if row['message_bytes'] == 64]
    if not points:
        return None
    point = points[-1]
    names = named(results, point)
    figure, axes = plt.subplots(figsize=(7, 4.5))
    for column, offset, label in (('idle_rss_bytes_per_socket', -0.2, 'idle'),
                                  ('rss_bytes_per_socket', 0.2, 'after load')):
        axes.bar([i + offset for i in range(len(names))],
                 [max(1, results.spread(point, name, column)[0])
                  for name in names], width=0.4, label=label)
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yscale('log')
    axes.set_ylabel('user memory, bytes per socket')
    axes.set_title(point, fontsize=9)
    axes.set_ylim(1, 1e5)  # Room for the legend above the bars.
    axes.legend(ncol=2, loc='upper left')
    return save(figure, folder, 'socket_scaling_memory')


def batch_plot(results, rows, folder):
    points = [point for workload in ('echo', 'pipelined')
              for point, _ in points_of(rows, workload)
              if sum(name.startswith('epoll-')
                     for name in results.variants[point]) >= 4]
    if not points:
        return None
    figure, all_axes = plt.subplots(1, len(points), squeeze=False,
                                    figsize=(3.6 * len(points) + 1, 4.2))
    for axes, point in zip(all_axes[0], points):
        for form, label, color in (
                ('epoll-{}', 'one instance per core', 'tab:blue'),
                ('epoll-{}-shared', 'threads share one instance', 'tab:red'),
                ('ioloop-epoll-{}', 'ioloop on epoll', 'tab:orange')):
            known = [(batch, results.spread(point, form.format(batch), CPU))
                     for batch in BATCHES
                     if form.format(batch) in results.variants[point]]
            if not known:
                continue
            axes.errorbar([batch for batch, _ in known],
                          [spread[0] for _, spread in known],
                          yerr=errors([spread for _, spread in known]),
                          marker='o', capsize=2, label=label, color=color)
        for name in ('ioloop', 'floor'):
            if name in results.variants[point]:
                axes.axhline(results.spread(point, name, CPU)[0], label=name,
                             linewidth=1, **style(name))
        axes.set_xscale('log', base=2)
        axes.set_xticks(BATCHES, BATCHES)
        axes.set_ylim(bottom=0)
        axes.set_title(point, fontsize=9)
        axes.set_xlabel('events per wait, at most')
        axes.grid(alpha=0.3)
    all_axes[0][0].set_ylabel('CPU µs per message')
    all_axes[0][0].legend(fontsize=7)
    return save(figure, folder, 'socket_scaling_batch')


def draw(results, rows, folder):
    """Draws what there is data for; (name, caption) of each."""
    drawn = (
        (sockets_plot(results, rows, 'echo', folder),
         'Echo, every socket active: CPU per message, medians with lowest and '
         'highest.'),
        (sockets_plot(results, rows, 'echo-few-active', folder),
         'Echo, few sockets active: CPU per message.'),
        (split_plot(results, rows, folder),
         'Echo: user and system time per message.'),
        (pipelined_plot(results, rows, folder),
         'A client that keeps requests in flight over many connections: its '
         'CPU per query.'),
        (open_loop_plot(results, rows, folder),
         'Open loop: what latency costs. Left end the median, right end the '
         '99th percentile, counted from when a message was meant to leave.'),
        (memory_plot(results, rows, folder),
         'User memory per socket at the largest size.'),
        (batch_plot(results, rows, folder),
         'Is it the batch of one epoll_wait, or who shares the instance? CPU '
         'per message by batch size.'))
    return [(name, caption) for name, caption in drawn if name]
