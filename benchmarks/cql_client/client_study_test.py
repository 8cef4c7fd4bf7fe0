#!/usr/bin/env python3
"""Runs the CQL client study in small with our own programs, and checks what is
computed from its rows.

usage: client_study_test.py FOLDER    the folder of the study's programs
"""

import csv
import json
import pathlib
import sys
import tempfile
import unittest

import client_study  # First: it knows where the shared modules are.
import client_report
import client_runs

PROGRAMS = None
POINTS = '1x2/1,2x3/64'


def row(client, repeat, cpu, **more):
    values = {name: 1.0 for name in client_study.COLUMNS.values()}
    return {**values, 'hosts': 1, 'shards': 2, 'connections': 2,
            'in_flight': 128, 'point': '2 connections, 128 in flight',
            'variant': client, 'repeat': repeat,
            'cpu_us_per_message': cpu, 'idle_bytes_per_connection': 100,
            'opened': 5, 'load_average': 1.0, **more}


def figure(rows, what):
    found = client_report.figures(client_report.Results(rows))
    return {(point, name): value for point, name, _, value in found}[
        '2 connections, 128 in flight', what]


class ComputedTest(unittest.TestCase):

    def test_the_best_peer_is_the_one_with_the_lowest_median(self):
        rows = [row('ringplane', 1, 1.0), row('ringplane', 2, 2.0),
                row('scylla-rust', 1, 3.0), row('scylla-rust', 2, 6.0),
                row('cpp-driver', 1, 2.0), row('cpp-driver', 2, 4.0),
                row('scylladb-gocql', 1, 10.0), row('scylladb-gocql', 2, 20.0)]
        self.assertEqual(figure(rows, 'CPU, ringplane / cpp-driver'),
                         (0.5, 0.5, 0.5, 2))
        self.assertEqual(figure(rows, 'CPU, ringplane / scylladb-gocql'),
                         (0.1, 0.1, 0.1, 2))

    def test_a_driver_that_cannot_be_had_is_stood_in_for_by_the_floor(self):
        # A machine half as fast as the one of the reference.
        rows = client_report.with_stand_in(
            [row('ringplane', 1, 1.0), row('floor', 1, 2 * 0.29),
             row('floor', 1, 0.1, in_flight=7)])
        made = [r for r in rows if r['variant'] == 'cpp-driver']
        self.assertEqual(len(made), 1)
        self.assertAlmostEqual(made[0]['cpu_us_per_message'], 2 * 2.3)
        self.assertIsNone(made[0]['p50_us'])
        measured = [row('cpp-driver', 1, 2.5), row('floor', 1, 1.0)]
        self.assertEqual(client_report.with_stand_in(measured), measured)

    def test_an_allocation_is_a_miss(self):
        # What the client's start leaves over a million queries is none.
        for allocations, said in ((0.0, 'met'), (0.0002, 'met'),
                                  (0.01, 'missed')):
            results = client_report.Results(
                [row('ringplane', 1, 1.0, in_flight=1024,
                     point='2 connections, 1024 in flight',
                     allocations_per_message=allocations)])
            lines = client_report.figures_table(results).split('\n')
            line, = [line for line in lines if line.startswith(
                '| 2 connections, 1024 in flight | allocations per query')]
            self.assertTrue(line.endswith(f'| {said} |'), line)

    def test_points_are_parsed(self):
        self.assertEqual(
            client_study.parse_points('1x2/128,16x96/1024'),
            (client_runs.Point(1, 2, 128), client_runs.Point(16, 96, 1024)))
        for wrong in ('2/128', '1x2', 'a', '1x2/3/4'):
            with self.assertRaises(client_study.argparse.ArgumentTypeError):
                client_study.parse_points(wrong)

    def test_every_figure_can_be_measured_by_the_short_matrix(self):
        points = {str(point) for point in client_study.SHORT}
        figures = client_report.figures(client_report.Results([]))
        self.assertLessEqual({point for point, *_ in figures}, points)
        self.assertLessEqual(set(client_study.SHORT), set(client_study.FULL))


class SmallStudyTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.out = pathlib.Path(cls.folder.name)
        cls.status = client_study.main([
            f'--programs={PROGRAMS}', f'--out={cls.out}', f'--points={POINTS}',
            '--clients=floor,ringplane,no-such-peer', '--repeats=2',
            '--seconds=0.2', '--warmup=0.1', '--no-instructions',
            '--alloc-count=none', '--patience=60', '--no-plots'])
        with open(cls.out / 'cql_client.csv', encoding='utf-8') as file:
            cls.rows = list(csv.DictReader(file))
        cls.data = json.loads((cls.out / 'cql_client.json').read_text())

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_one_row_per_point_client_and_repeat(self):
        self.assertEqual(self.status, 0)
        self.assertEqual(
            ','.join(self.rows[0]),
            'client,connections,shards,in_flight,cpu_us_per_query,'
            'user_us_per_query,user_instructions_per_query,'
            'allocations_per_query,syscalls_per_query,queries_per_second,'
            'p50_us,p99_us,repeat')
        self.assertCountEqual(
            [(r['client'], r['connections'], r['shards'], r['in_flight'],
              r['repeat']) for r in self.rows],
            [(client, *point, repeat) for client in ('floor', 'ringplane')
             for point in (('2', '2', '1'), ('6', '3', '64'))
             for repeat in '12'])

    def test_rows_hold_what_was_measured(self):
        for r in self.rows:
            with self.subTest(r):
                for column in ('cpu_us_per_query', 'syscalls_per_query',
                               'queries_per_second', 'p50_us'):
                    self.assertGreater(float(r[column]), 0)
                self.assertGreaterEqual(float(r['p99_us']), float(r['p50_us']))

    def test_every_shard_has_a_connection_for_reads_and_one_for_writes(self):
        opened = {(r['point'], r['opened']) for r in self.data['rows']
                  if r['variant'] == 'ringplane'}
        self.assertEqual(opened, {('2 connections, 1 in flight', 2 * 2 + 1),
                                  ('6 connections, 64 in flight', 2 * 6 + 1)})

    def test_what_did_not_run_is_said_with_its_reason(self):
        page = (self.out / 'cql_client.md').read_text(encoding='utf-8')
        self.assertIn('| no-such-peer | ', page)
        self.assertIn('| not built |', page)


if __name__ == '__main__':
    PROGRAMS = sys.argv.pop(1)
    unittest.main()
