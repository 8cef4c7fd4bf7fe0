"""The plots of the CQL client study, each as SVG and PNG."""

from client_runs import CLIENTS, CPP, FLOOR, GOCQL, OURS, RUST
from plots import errors, plt, save

CPU = 'cpu_us_per_message'
STYLE = {FLOOR: ('black', '--'), OURS: ('tab:red', '-'),
         GOCQL: ('tab:cyan', '-'), RUST: ('tab:brown', '-'),
         CPP: ('tab:blue', '-')}


def curve(results, rows, folder, along, label, keep, name):
    """CPU per query of every client over `along`, or None for fewer than two
    points."""
    points = sorted({(row[along], row['point']) for row in rows if keep(row)})
    if len(points) < 2:
        return None
    figure, axes = plt.subplots(figsize=(8, 5))
    for client in CLIENTS:
        known = [(x, results.spread(point, client, CPU)) for x, point in points
                 if client in results.variants[point]]
        if not known:
            continue
        color, line = STYLE[client]
        axes.errorbar([x for x, _ in known],
                      [spread[0] for _, spread in known],
                      yerr=errors([spread for _, spread in known]),
                      marker='o', markersize=3, capsize=2, label=client,
                      color=color, linestyle=line)
    axes.set_xscale('log')
    axes.set_yscale('log')
    axes.set_xticks([x for x, _ in points], [f'{x:,}' for x, _ in points])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter('{x:g}')
    axes.set_xlabel(label)
    axes.set_ylabel('CPU µs per query')
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return save(figure, folder, name)


def draw(results, rows, folder):
    """Draws what there is data for; (name, caption) of each."""
    drawn = (
        (curve(results, rows, folder, 'connections',
               'connections that carry queries',
               lambda row: row['in_flight'] == 1024, 'cql_client_connections'),
         'CPU per query as connections grow, 1,024 in flight; medians with '
         'lowest and highest.'),
        (curve(results, rows, folder, 'in_flight', 'queries in flight',
               lambda row: row['connections'] == 2, 'cql_client_in_flight'),
         'CPU per query over two connections as more is in flight.'))
    return [(name, caption) for name, caption in drawn if name]
