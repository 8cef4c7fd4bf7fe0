#!/usr/bin/env python3
"""Runs the study in small, and checks what is computed from its rows.

usage: study_test.py FOLDER    the folder of the study's programs
"""

import csv
import json
import pathlib
import sys
import tempfile
import unittest

import report
import runs
import study

PROGRAMS = None
VARIANTS = ('floor', 'ioloop', 'ioloop-wait-1', 'ioloop-budget',
            'epoll-16', 'epoll-128-shared')
POINTS = ('echo:64,echo:16x5000,echo-few-active:64/8,pipelined:16/64,'
          'open-loop:64@2000')


def row(variant, repeat, cpu, point='echo 64'):
    return {'point': point, 'variant': variant, 'repeat': repeat,
            'cpu_us_per_message': cpu}


class ComputedTest(unittest.TestCase):

    def test_ratios_are_taken_within_each_repeat(self):
        # The machine was twice as slow in the second repeat: the ratio of the
        # medians would not show it, the pairs do not either.
        results = report.Results([
            row('ioloop', 1, 2.0), row('floor', 1, 1.0),
            row('ioloop', 2, 4.0), row('floor', 2, 2.0),
            row('ioloop', 3, 3.0),  # Without a partner.
            row('ioloop', 4, 3.0), row('floor', 4, 1.0)])
        self.assertEqual(results.ratio('echo 64', 'ioloop', 'floor'),
                         (2.0, 2.0, 3.0, 3))
        self.assertIsNone(results.ratio('echo 64', 'ioloop', 'go'))

    def test_verdicts(self):
        self.assertEqual(report.verdict((1.0, 0.9, 1.2, 9), 1.1), 'met')
        self.assertEqual(report.verdict((1.2, 1.0, 1.3, 9), 1.1),
                         'within the spread')
        self.assertEqual(report.verdict((1.3, 1.2, 1.4, 9), 1.1), 'missed')
        self.assertEqual(report.verdict(None, 1.1), 'not measured')

    def test_the_matrix_of_the_figures_measures_every_figure(self):
        # Each variant costs and gains one more than the one before.
        rows = [{**row(variant, repeat, cpu, str(point)), 'p99_us': 10.0 * cpu,
                 'syscalls_per_message': 0.01,
                 'library_rss_bytes_per_socket': 200}
                for point, variants in study.FIGURES
                for cpu, variant in enumerate(variants, 1)
                for repeat in range(1, 10)]
        found = report.figures(report.Results(rows), 200)
        self.assertEqual([entry for entry in found if entry[2] is None], [])
        table = report.figures_table(report.Results(rows),
                                     {'latency_budget_us': 200})
        self.assertNotIn('not measured', table)
        added, = (line for line in table.splitlines() if 'adds' in line)
        self.assertIn('| -10.0 (-10.0 to -10.0) | 9 | ≤ 200 | met |', added)

    def test_percentiles_come_from_the_buckets(self):
        # measure.h: below 64 each nanosecond, then 32 buckets a doubling.
        self.assertEqual(runs.bucket_us(63), 0.063)
        self.assertAlmostEqual(runs.bucket_us(64), 0.065)
        self.assertAlmostEqual(runs.bucket_us(32 * 11 + 0), 33.280)
        latency = {10: 98, 20: 1, 64: 1}
        self.assertEqual(runs.percentile_us(latency, 0.5), 0.010)
        self.assertEqual(runs.percentile_us(latency, 0.99), 0.020)
        self.assertIsNone(runs.percentile_us({}, 0.5))

    def test_points_are_parsed(self):
        self.assertEqual(
            study.parse_points('echo:64,pipelined:512/4096,'
                               'open-loop:1000@40000,echo:10x1024'),
            [study.echo(64), study.pipelined(512, 4096),
             study.open_loop(40000), study.echo(10, 1024)])
        for wrong in ('echo', 'echo:64@9', 'pipelined:4', 'nothing:3',
                      'open-loop:4'):
            with self.assertRaises(study.argparse.ArgumentTypeError):
                study.parse_points(wrong)

    def test_every_variant_of_the_matrix_has_a_name_that_is_promised(self):
        names = set(study.ALL) | {study.WAIT_ONE, study.BUDGET}
        for matrix in (study.SHORT, study.FIGURES, study.FULL):
            for point, variants in matrix:
                self.assertIn(point.workload, study.WORKLOADS)
                self.assertLessEqual(set(variants), names)


class SmallStudyTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.out = pathlib.Path(cls.folder.name)
        cls.status = study.main([
            f'--programs={PROGRAMS}', f'--out={cls.out}', f'--points={POINTS}',
            f'--variants={",".join(VARIANTS)},ioloop-epoll-128,no-such-peer',
            '--repeats=2', '--seconds=0.2', '--warmup=0.1', '--no-plots'])
        with open(cls.out / 'socket_scaling.csv', encoding='utf-8') as file:
            cls.rows = list(csv.DictReader(file))
        cls.data = json.loads((cls.out / 'socket_scaling.json').read_text())

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_one_row_per_point_variant_and_repeat(self):
        self.assertEqual(self.status, 0)
        self.assertEqual(
            list(self.rows[0]),
            ['workload', 'variant', 'sockets', 'in_flight', 'message_bytes',
             'cpu_us_per_message', 'user_us_per_message',
             'syscalls_per_message', 'completions_per_turn',
             'messages_per_second', 'p50_us', 'p99_us', 'rss_bytes_per_socket',
             'repeat'])
        found = [(r['workload'], r['sockets'], r['in_flight'],
                  r['message_bytes'], r['variant'], r['repeat'])
                 for r in self.rows if r['variant'] in VARIANTS]
        points = (('echo', '64', '64', '64'), ('echo', '16', '16', '5000'),
                  ('echo-few-active', '64', '8', '64'),
                  ('pipelined', '16', '64', '100'),
                  ('open-loop', '64', '0', '64'))
        self.assertCountEqual(found, [
            (*point, variant, repeat) for point in points
            for variant in VARIANTS for repeat in '12'])

    def test_rows_hold_what_was_measured(self):
        for r in self.rows:
            with self.subTest(r):
                for column in ('cpu_us_per_message', 'syscalls_per_message',
                               'completions_per_turn', 'messages_per_second'):
                    self.assertGreater(float(r[column]), 0)
                self.assertGreaterEqual(float(r['p99_us']), float(r['p50_us']))
                self.assertGreater(float(r['p50_us']), 0)

    def test_what_did_not_run_is_said_with_its_reason(self):
        skipped = {entry['variant']: entry['why']
                   for entry in self.data['about']['skipped']}
        self.assertEqual(skipped.get('no-such-peer'), 'not built')
        page = (self.out / 'socket_scaling.md').read_text(encoding='utf-8')
        for variant, why in skipped.items():
            self.assertFalse(why.startswith('failed'), f'{variant}: {why}')
            self.assertIn(f'| {variant} |', page)
            self.assertIn(why, page)

    def test_sizes_above_the_descriptor_limit_are_skipped(self):
        runner = runs.Runner(study.parse_options([]))
        with self.assertRaisesRegex(runs.Skip, 'the limit is'):
            runner.check_point(study.echo(runner.limit))
        runner.check_point(study.echo(64))


if __name__ == '__main__':
    PROGRAMS = sys.argv.pop(1)
    unittest.main()
