"""Planning, running, resuming and reporting of studies, with a script in place of trainings."""

import itertools
import json
import os
import re
import shutil
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config
from study_helpers import Project, in_fork

from mmtad_decomp.evaluation.functional import average_precision, mean_over_classes
from mmtad_decomp.utils.atomic import process_runs
from tools.analysis_tools import study as command
from tools.studies import Catalog, Results, Row, Run, StudyError, Task, make_plan
from tools.studies.catalog import relevant_settings
from tools.studies.comparison import Comparer
from tools.studies.definition import load_study
from tools.studies.execution import Execution, Job, estimate
from tools.studies.processes import Slot, lock_work_dir, make_slots, training_progress
from tools.studies.report import Report, mean_and_sd

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch):
    return Project(tmp_path, monkeypatch)


@pytest.mark.parametrize('file', sorted(ROOT.glob('configs/studies/*.py')), ids=lambda f: f.stem)
def test_the_studies_of_the_project_can_be_read(file, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert len(load_study(file).rows) > 3


def plan_keys(catalog, **kwargs):
    return [(t.run.key, t.test) for t in make_plan(catalog, Results(catalog), **kwargs)]


def test_all_rows_of_a_seed_come_before_the_next_and_teachers_first(project):
    keys = [key for key, _ in plan_keys(project.catalog())]
    one = ['tg/seed{}', 'student/seed{}', 'rgb/seed{}']
    assert keys == [name.format(seed) for seed in (0, 1) for name in one]
    assert plan_keys(project.catalog(), rows=['student'], seeds=[1]) == [
        ('tg/seed1', False),
        ('student/seed1', True),
    ]


def test_runs_everything_once_with_the_teacher_of_the_same_seed(project):
    catalog = project.catalog()
    failures, journal = project.run(catalog, slots=2)
    assert not failures and len(journal) == 18  # 6 runs: a training and two tests
    for seed in (0, 1):
        (line,) = [j for j in journal if j.startswith(f'train student {seed}')]
        teacher = catalog.folder(Run('tg', seed)) / 'train'
        assert line.endswith(str(teacher)) and (teacher / 'epoch_2.pth').exists()
    entry = Results(catalog).runs['student/seed1']
    assert entry['epochs'] == 2 and entry['steps'] == 6 and entry['minutes'] == 0.2
    assert entry['health'] == {'grad_norm/head': 1.0} and entry['peak_memory_mb'] > 1
    assert set(entry['validation']) == {'mAP', 'mAP_low', 'mAP_high', *TIOUS}
    assert entry['training'] != entry['validation']
    assert project.run(project.catalog()) == ({}, [])


def test_trainings_test_at_their_end_with_the_same_result(project):
    catalog = project.catalog()
    project.run(catalog)
    apart = {key: entry['validation'] for key, entry in Results(catalog).runs.items()}
    options = {'test_cfg': dict(type='TestLoop')}
    catalog = project.catalog(cfg_options=options, work_dir=str(project.folder / 'other'))
    failures, journal = project.run(catalog)
    assert not failures and len(journal) == 12  # the second is the test of the training videos
    assert {key: e['validation'] for key, e in Results(catalog).runs.items()} == apart
    folder = catalog.test_folder(Run('rgb', 0))
    settings: dict = {}
    exec((folder / 'train_and_test.py').read_text(), settings)
    assert settings['val_cfg'] == dict(type='ValLoop')
    assert settings['val_dataloader'] == settings['test_dataloader']
    assert settings['train_cfg']['val_begin'] == settings['train_cfg']['val_interval'] == 2
    # where the detections are gone, they are made by a test
    (folder / 'validation.json').unlink()
    content = json.loads(catalog.study.results.read_text())
    del content['runs']['rgb/seed0']
    catalog.study.results.write_text(json.dumps(content))
    assert project.run(catalog)[1] == ['test validation 0 None']


TIOUS = {f'mAP@{tiou}' for tiou in (0.3, 0.5, 0.7, 0.9)}


def test_results_outlive_the_work_directory(project):
    catalog = project.catalog(results=str(project.folder / 'kept.json'))
    project.run(catalog, seeds=[0])
    shutil.rmtree(project.folder / 'work')
    assert project.run(catalog, seeds=[0]) == ({}, [])
    # a teacher whose checkpoint is gone is trained again only for a student that is missing
    content = json.loads((project.folder / 'kept.json').read_text())
    del content['runs']['student/seed0']
    (project.folder / 'kept.json').write_text(json.dumps(content))
    _, journal = project.run(catalog, seeds=[0])
    assert [' '.join(line.split()[:2]) for line in journal] == [
        'train tg',
        'train student',
        'test validation',
        'test training',
    ]


@pytest.mark.parametrize(
    ('change', 'trained'),
    [
        (dict(cfg_options={'model.depth': 3}), 6),
        (dict(code_version='2'), 6),
        (dict(cfg_options={'test_cfg.type': 'TestLoop'}), 0),
        (dict(cfg_options={'train_dataloader.num_workers': 0, 'log_level': 'ERROR'}), None),
    ],
)
def test_what_repeats_trainings_and_what_only_tests(project, change, trained):
    project.run(project.catalog())
    _, journal = project.run(project.catalog(**change))
    assert sum(line.startswith('train') for line in journal) == (trained or 0)
    assert sum(line.startswith('test') for line in journal) == (0 if trained is None else 12)


def test_other_options_of_a_teacher_or_other_data_repeat_the_students(project):
    catalog = project.catalog()
    rows = project.rows()
    rows[2]['cfg_options'] = {'model.depth': 3}
    changed = project.catalog(rows=rows)
    for row, differs in (('tg', True), ('student', True), ('rgb', False)):
        marks = {c.mark(Run(row, 0)) for c in (catalog, changed)}
        assert (len(marks) == 2) == differs, row
    assert len({catalog.mark(run) for run in catalog.runs()}) == 6
    before = catalog.mark(Run('rgb', 0))
    project.write_annotations(extra=1)
    from tools.studies import catalog as module

    module._file_digest.cache_clear()
    assert project.catalog().mark(Run('rgb', 0)) != before


def test_several_rows_teach_one(project):
    rows = project.rows(teacher=['tg', 'tg_other'])
    rows.append(dict(rows[2], name='tg_other', cfg_options={'model.depth': 5}))
    catalog = project.catalog(rows=rows)
    assert plan_keys(catalog, rows=['student'], seeds=[1]) == [
        ('tg/seed1', False),
        ('tg_other/seed1', False),
        ('student/seed1', True),
    ]
    failures, _ = project.run(catalog, ['student'], [1])
    assert not failures
    folders = [str(catalog.folder(Run(name, 1)) / 'train') for name in ('tg', 'tg_other')]
    assert catalog.config(Run('student', 1)).model.teacher_checkpoint == folders
    # The mark depends on each of them, and one teacher alone gives the mark that it always gave.
    marks = {catalog.mark(Run('student', 1))}
    marks.add(project.catalog(rows=project.rows(teacher=['tg'])).mark(Run('student', 1)))
    assert project.catalog().mark(Run('student', 1)) in marks and len(marks) == 2
    rows[3]['cfg_options'] = {'model.depth': 6}
    assert project.catalog(rows=rows).mark(Run('student', 1)) not in marks


def nest(project, name):
    """Give a config a model with a backbone: one of a student, below its detector."""
    text = (project.folder / f'{name}.py').read_text()
    backbone = "backbone=dict(type='VideoEncoder')"
    if name == 'student':
        backbone = f'student=dict(detector=dict({backbone})), teacher=dict({backbone})'
    (project.folder / f'{name}.py').write_text(
        text.replace('model = dict(', f'model = dict({backbone}, ')
    )


def test_options_of_the_detector_are_put_where_a_config_has_it(project):
    inside = {'backbone.depth': 18, 'neck.in_channels': 256}
    rows = project.rows()
    rows[2]['cfg_options'] = {'model.backbone.depth': 50}
    with pytest.raises(StudyError, match=r"row 'tg'.*`detector_options` needs models with one `b"):
        project.catalog(detector_options=inside).mark(Run('tg', 0))
    for name in ('rgb', 'student', 'tg'):
        nest(project, name)
    catalog = project.catalog(rows=rows, detector_options=inside)
    models = {name: catalog.config(Run(name, 0)).model for name in ('rgb', 'student', 'tg')}
    detectors = dict(models, student=models['student'].student.detector)
    assert [d.backbone.depth for d in detectors.values()] == [18, 18, 50]  # a row's own one wins
    assert all(detector.neck.in_channels == 256 for detector in detectors.values())
    assert models['student'].teacher == dict(backbone=dict(type='VideoEncoder'))


def test_a_row_starts_from_the_backbone_of_another(project):
    plain = project.catalog()
    before = {run: plain.mark(run) for run in plain.runs()}
    nest(project, 'rgb')
    nest(project, 'student')
    catalog = project.catalog(rows=project.rows(start='rgb'))
    assert [key for key, _ in plan_keys(catalog, rows=['student'], seeds=[1])] == [
        'rgb/seed1',
        'tg/seed1',
        'student/seed1',
    ]
    failures, journal = project.run(catalog, seeds=[0], slots=2)
    assert not failures and sum(line.startswith('train') for line in journal) == 3
    cfg = Config.fromfile(catalog.folder(Run('student', 0)) / 'config.py')
    source = catalog.folder(Run('rgb', 0)) / 'train' / 'epoch_2.pth'
    assert cfg.model.student.detector.backbone.init_cfg == dict(
        type='Pretrained', checkpoint=str(source), prefix='backbone'
    )
    assert (
        'init_cfg'
        not in Config.fromfile(catalog.folder(Run('rgb', 0)) / 'config.py').model.backbone
    )
    # another training of the start is another start
    rows = project.rows(start='rgb')
    rows[1]['cfg_options'] = {'model.depth': 3}
    changed = project.catalog(rows=rows)
    for row, differs in (('student', True), ('rgb', True), ('tg', False)):
        assert (changed.mark(Run(row, 0)) != catalog.mark(Run(row, 0))) == differs, row
    assert catalog.mark(Run('tg', 0)) == before[Run('tg', 0)]
    with pytest.raises(StudyError, match=r"row 'student'.*`start` needs models with one `back"):
        plan_keys(project.catalog(rows=project.rows(start='tg', teacher='rgb')))


def test_a_failure_spares_what_does_not_depend_on_it(project):
    rows = project.rows()
    rows[2]['cfg_options'] = {'model.fails': 'train'}
    failures, _ = project.run(project.catalog(rows=rows), seeds=[0])
    assert 'something broke' in failures[Run('tg', 0)] and 'exit code 3' in failures[Run('tg', 0)]
    assert failures[Run('student', 0)] == 'tg/seed0, which it needs, failed'
    assert list(Results(project.catalog(rows=rows)).runs) == ['rgb/seed0']


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_stopped_study_leaves_no_process_and_resumes(project, number):
    catalog = project.catalog(cfg_options={'model.pause': 2}, seeds=[0])
    arguments = [str(project.folder / 'small.py'), '--only', 'rgb', '--interval', '0.1']
    process = in_fork(command.main, arguments)
    first = catalog.folder(Run('rgb', 0)) / 'train' / 'epoch_1.pth'
    while not first.exists():
        assert process.is_alive()
        time.sleep(0.02)
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == (-number if number == signal.SIGKILL else 128 + number)
    training = int((project.folder / 'work' / '.lock').read_text().split()[-1])
    deadline = time.monotonic() + 5
    while process_runs(training):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not first.with_name('epoch_2.pth').exists()
    _, journal = project.run(catalog, rows=['rgb'])
    assert len(journal) == 3 and first.with_name('epoch_2.pth').exists()
    log = (catalog.folder(Run('rgb', 0)) / 'train.log').read_text()
    assert log.count('[1][3/3]') == 1  # the first epoch was not repeated


def test_a_row_fuses_the_raw_predictions_of_others(project):
    rows = [dict(project.rows()[1], name='both', fuse=['rgb', 'tg']), *project.rows()]
    catalog = project.catalog(rows=rows)
    keys = [key for key, _ in plan_keys(catalog, seeds=[0])]
    assert keys == [f'{row}/seed0' for row in ('rgb', 'tg', 'both', 'student')]
    failures, journal = project.run(catalog, rows=['rgb', 'tg'], seeds=[0], slots=2)
    assert not failures and not any(line.startswith('fuse') for line in journal)
    failures, journal = project.run(catalog, rows=['both'], seeds=[0], slots=2)
    assert not failures and [line.split()[:2] for line in journal] == [
        ['fuse', 'validation'],
        ['fuse', 'training'],
    ]
    entry = Results(catalog).runs['both/seed0']
    assert entry['validation']['mAP'] > 0 and 'minutes' not in entry
    assert '| RGB baseline | 1 |' in Report(Results(catalog)).markdown()
    # raw predictions that are gone are made by tests, for a fusion that is missing
    catalog.raw_files(Run('tg', 0))['validation'].unlink()
    assert project.run(catalog, seeds=[0], rows=['both']) == ({}, [])
    content = json.loads(catalog.study.results.read_text())
    del content['runs']['both/seed0']
    catalog.study.results.write_text(json.dumps(content))
    shutil.rmtree(catalog.test_folder(Run('both', 0)))
    _, journal = project.run(catalog, seeds=[0], rows=['both'])
    assert [line.split()[0] for line in journal] == ['test', 'fuse', 'fuse']


def test_a_fusion_fails_with_its_part(project):
    rows = [dict(project.rows()[1], name='both', fuse=['rgb', 'tg']), *project.rows()[1:]]
    rows[2]['cfg_options'] = {'model.fails': 'train'}
    failures, _ = project.run(project.catalog(rows=rows, compare=[]), seeds=[0])
    assert failures[Run('both', 0)] == 'tg/seed0, which it needs, failed'


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (dict(fuse=['rgb']), 'must name two rows or more'),
        (dict(fuse=['rgb', 'none']), r"'none' is not a row that trains.*'rgb', 'tg'"),
        (dict(fuse=['rgb', 'both']), r"'both' is not a row that trains"),
        (dict(fuse=['rgb', 'tg'], teacher='tg'), 'remove its `teacher`'),
    ],
)
def test_faults_of_a_fusion_are_named(project, fields, message):
    rows = [dict(project.rows()[1], name='both') | fields, *project.rows()[1:]]
    with pytest.raises(StudyError, match=message):
        project.study(rows=rows, compare=[])


def test_folds_are_evaluated_together(project):
    folds = dict(folds=['0', '1'], fold_variable='STUDY_TEST_FOLD', seeds=[3])
    catalog = project.catalog(**folds)
    keys = [run.key for run in catalog.runs()]
    assert keys[:4] == [*(f'{r}/seed3/fold0' for r in ('tg', 'student', 'rgb')), 'tg/seed3/fold1']
    failures, journal = project.run(catalog)
    assert not failures and len(journal) == 18 and 'STUDY_TEST_FOLD' not in os.environ
    results = Results(catalog)
    matches, videos = results.matches('rgb', 3, 'validation')
    assert videos == [f'{fold}/v{fold}{i}' for fold in (0, 1) for i in (2, 3, 4)]
    score = results.score('rgb', 3)['validation']
    # the pooled AP by its definition, from scores and hits of both folds
    precisions = []
    for label in range(2):
        order = np.argsort(-matches.scores[matches.labels == label])
        for hits in matches.hits[:, matches.labels == label][:, order]:
            precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
            envelope = np.maximum.accumulate(precision[::-1])[::-1]
            precisions.append(envelope[hits].sum() / matches.positives[:, label].sum())
    by_tiou = np.array(precisions).reshape(2, -1).mean(axis=0)
    assert score['mAP_low'] == pytest.approx(by_tiou[:2].mean())
    single = [results.runs[f'rgb/seed3/fold{f}']['validation']['mAP_low'] for f in (0, 1)]
    assert score['mAP_low'] != pytest.approx(np.mean(single))
    assert 'The held-out videos of 2 folds are evaluated together.' in Report(results).markdown()


def test_intervals_are_those_of_a_loop_over_draws(project):
    catalog = project.catalog()
    project.run(catalog)
    results = Results(catalog)
    got = Comparer(results, seed=5).compare('student', 'rgb')
    sides = [[tables(results, row, seed) for seed in (0, 1)] for row in ('student', 'rgb')]
    plain = [[metric(*side) for side in row] for row in sides]
    exactly = np.mean(plain[0]) - np.mean(plain[1])
    assert got['difference'] == pytest.approx(exactly, abs=1e-7)  # draws are float32
    drawn = np.random.default_rng([0, 3]).multinomial(3, np.full(3, 1 / 3), size=200)
    seeds = np.random.default_rng(5).integers(2, size=(2, 200))
    differences = [
        np.mean([metric(*sides[0][s], counts) - metric(*sides[1][s], counts) for s in chosen])
        for counts, chosen in zip(drawn, seeds.T)
    ]
    assert [got['low'], got['high']] == pytest.approx(
        np.percentile(differences, [2.5, 97.5]), abs=1e-7
    )
    assert got['low'] < got['difference'] < got['high'] and got['seeds'] == [0, 1]


def test_intervals_leave_out_draws_of_videos_without_instances(project):
    project.write_annotations(empty=2)
    catalog = project.catalog(seeds=[0])
    project.run(catalog, slots=2)
    Report(Results(catalog)).write()
    (entry,) = json.loads(catalog.study.results.read_text())['comparisons']
    sides = [tables(Results(catalog), row, 0) for row in ('student', 'rgb')]
    drawn = np.random.default_rng([0, 3]).multinomial(3, np.full(3, 1 / 3), size=200)
    kept = [counts for counts in drawn if counts[0]]
    values = [metric(*sides[0], counts) - metric(*sides[1], counts) for counts in kept]
    assert entry['dropped'] == 200 - len(kept) > 20
    assert [entry['low'], entry['high']] == pytest.approx(
        np.percentile(values, [2.5, 97.5]), abs=1e-7
    )


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            dict(empty=3),
            r"annotations_\.json: subset 'validation' has no instance of the classes \[",
        ),
        (dict(cfg_options={'test_evaluator.subset': 'test'}), "no video is of subset 'test'"),
        (
            dict(cfg_options={'test_evaluator.ignore_labels': ['a', 'b']}),
            r'no instance .* `ignore_labels` or `exclude_videos` of `test_evaluator`',
        ),
        (
            dict(folds=['0', '1'], fold_variable='STUDY_TEST_FOLD'),
            r"rgb\.py, fold 1: .*annotations1\.json: subset 'validation' has no instance",
        ),
    ],
)
def test_nothing_is_trained_where_nothing_can_be_tested(project, change, message):
    project.write_annotations('0')
    project.write_annotations('1', empty=3)
    if 'empty' in change:
        project.write_annotations(**change)
    catalog = project.catalog(**{key: value for key, value in change.items() if key != 'empty'})
    rows = ['rgb'] if 'folds' in change else ['student']
    with pytest.raises(StudyError, match=message):
        project.run(catalog, rows)
    assert not project.journal.exists()


def test_processes_that_write_the_same_results_lose_none(project):
    catalog = project.catalog(seeds=[0])
    entries = {run: dict(fingerprint=catalog.mark(run)) for run in catalog.runs(['rgb', 'tg'])}
    tg, rgb = entries

    def add(results, run, **more):
        marks = [entries[run]['fingerprint']]
        score = dict(fingerprints=marks, validation=dict(mAP_low=0.5))
        results.content['scores'][f'{run.row}/seed0'] = score
        results.add(run, entries[run] | more)

    first, second = Results(catalog), Results(catalog)
    add(first, rgb)
    report = Report(Results(catalog))
    add(second, tg)
    report.write()
    kept = Results(catalog).content
    assert set(kept['runs']) == set(kept['scores']) == {rgb.key, tg.key}
    # what is older and unchanged is not written over what is newer
    add(Results(catalog), rgb, minutes=5.0)
    add(second, tg, minutes=6.0)
    runs = Results(catalog).runs
    assert (runs[rgb.key]['minutes'], runs[tg.key]['minutes']) == (5.0, 6.0)


def test_intervals_outlive_detections_and_join_results_of_two_machines(project, capsys):
    catalog = project.catalog(results=str(project.folder / 'whole.json'))
    project.run(catalog)
    report = Report(Results(catalog))
    report.write()
    whole = json.loads(catalog.study.results.read_text())
    shutil.rmtree(project.folder / 'work')
    report = Report(Results(catalog))
    assert report.comparisons == whole['comparisons'] and len(whole['comparisons']) == 1
    # each machine has the rows of its own, and one of them an outdated result
    files = [project.folder / f'{name}.json' for name in 'ab']
    for file, rows in zip(files, (('tg', 'student'), ('rgb',))):
        part = dict(study='small', comparisons=[])
        for kind in ('runs', 'scores'):
            part[kind] = {k: v for k, v in whole[kind].items() if k.split('/')[0] in rows}
        file.write_text(json.dumps(part))
    stale = json.loads(files[1].read_text())
    stale['runs']['tg/seed0'] = {**whole['runs']['tg/seed0'], 'fingerprint': 'old'}
    files[1].write_text(json.dumps(stale))
    arguments = [str(project.folder / 'small.py'), '--results', str(files[0])]
    assert command.main([*arguments, '--merge', str(files[1]), '--report']) == 0
    assert f'{files[1]}: 2 results taken over' in capsys.readouterr().out
    assert json.loads(files[0].read_text()) == whole
    assert command.main([*arguments, '--merge', str(project.folder / 'none.json')]) == 2
    assert 'none.json cannot be read' in capsys.readouterr().err
    # results of a version before draws were kept show the interval that they have
    for score in whole['scores'].values():
        del score['draws']
    files[0].write_text(json.dumps(whole))
    kept = Report(Results(project.catalog(results=str(files[0])))).comparisons
    assert kept == whole['comparisons']


def tables(results, row, seed):
    from mmtad_decomp.evaluation.annotation_tables import ground_truth_table, prediction_table
    from mmtad_decomp.evaluation.submission import load_submission

    annotations = results.metric(row).annotations
    file = results.catalog.test_folder(Run(row, seed)) / 'validation.json'
    found = load_submission(file, annotations.classes)
    return ground_truth_table(annotations), prediction_table(annotations, found)


def metric(truth, found, counts=(1, 1, 1)):
    """mAP at 0.3 and 0.5 of tables in which each video is repeated."""
    both = []
    for table in (truth, found):
        copies = [np.repeat(v, c) for v, c in enumerate(counts)]
        chosen = [np.flatnonzero(table.videos == v) for v in np.concatenate(copies)]
        numbers = np.repeat(np.arange(len(chosen)), [len(rows) for rows in chosen])
        rows = np.concatenate(chosen)
        both.append(type(table)(numbers, *(column[rows] for column in table[1:])))
    return mean_over_classes(average_precision(*both, (0.3, 0.5), 2)).mean()


def test_tables_and_plot(project, capsys):
    project.run(project.catalog())
    assert command.main([str(project.folder / 'small.py'), '--report']) == 0
    table = (project.folder / 'work' / 'small_table.md').read_text()
    lines = table.splitlines()
    assert lines[2].startswith('| system | n | mAP low | mAP high | 0.3 | 0.5 | 0.7 | 0.9 |')
    scores = Results(project.catalog()).content['scores']
    values = [scores[f'rgb/seed{seed}']['validation']['mAP_low'] for seed in (0, 1)]
    assert f'| RGB baseline | 2 | {mean_and_sd(values, 100)} |' in table
    assert '| student - RGB baseline | 2 | +' in table and '95 % interval' in table
    assert '| grad_norm/head | 1 | 1 | 1 |' in table and 'Minutes: training for one seed' in table
    picture = (project.folder / 'work' / 'small.png').read_bytes()
    assert picture.startswith(b'\x89PNG') and len(picture) > 10_000
    assert table in capsys.readouterr().out
    assert mean_and_sd([0.5], 100) == '50.0' and mean_and_sd([1, 3]) == '2.0 ± 1.4'


def test_dry_run_shows_the_plan_and_the_estimate(project, capsys):
    project.run(project.catalog(), rows=['tg'])
    project.journal.unlink()
    assert command.main([str(project.folder / 'small.py'), '--dry-run', '--jobs', '1']) == 0
    shown = capsys.readouterr().out
    assert re.search(r'4 runs to do, 1 at a time \(\d+ (s|min)\); 2 results are there', shown)
    tasks = make_plan(project.catalog(), Results(project.catalog()))
    rows = project.catalog().study.rows
    assert estimate(tasks, {'tg': 30.0, 'rgb': 60.0}, rows, 2) == (2 * 60 + 2 * 45) / 2
    assert '  rgb/seed1: train and test\n' in shown and not project.journal.exists()


def test_the_time_left_counts_the_start_once_and_waits_for_teachers(project, monkeypatch):
    catalog = project.catalog(seeds=[0])
    execution = Execution(catalog, Results(catalog), [Slot((0,))] * 2)
    tg, student, rgb = make_plan(catalog, execution.results)
    assert execution.seconds_left([tg, student, rgb]) is None
    execution.results.runs['a row of old/seed0'] = dict(minutes=1.0)
    assert execution.seconds_left([tg, student, rgb]) is None
    job = Job(tg, execution.free.pop(), process=SimpleNamespace(seconds=30.0))
    execution.jobs = [job]
    monkeypatch.setattr(Job, 'progress', lambda self: (share, ''))
    share = 0.0
    assert execution.seconds_left([student, rgb]) is None
    job.process.seconds, share = 32.0, 0.1
    assert execution.seconds_left([student, rgb]) is None  # one look tells no rate
    job.process.seconds, share = 40.0, 0.2
    # 80 s of steps, of which 8 were over at 32 s: 24 s of start, 104 s in all
    assert job.whole_seconds() == pytest.approx(104)
    # the teacher's rest, then its student; the baseline runs beside both
    assert execution.seconds_left([student, rgb]) == pytest.approx(0.8 * 104 + 104)
    assert execution.seconds_left([rgb]) == pytest.approx(104)


def test_estimates_use_times_where_known_and_costs_elsewhere():
    rows = {name: Row(name, 'x.py', cost=cost) for name, cost in (('a', 1), ('b', 2), ('c', 4))}
    tasks = [Task(Run(name, 0)) for name in 'abc']
    assert estimate(tasks, {}, rows, 1) is None
    assert estimate(tasks, {'a': 10.0}, rows, 1) == pytest.approx(10 + 20 + 40)
    assert estimate(tasks, {'a': 10.0, 'b': 40.0}, rows, 2) == pytest.approx((10 + 40 + 60) / 2)


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        (dict(rowz=[]), r'small\.py: unknown field `rowz`; did you mean `rows`'),
        (dict(seeds=[]), r'`seeds` is missing; set it to a list of whole numbers'),
        (dict(seeds=[1, 1]), r'`seeds` must be different whole numbers'),
        (dict(compare=[('student', 'gbr')]), r"`compare`: 'gbr' is not a row; rows are"),
        (dict(metric='mAP_all'), r"row 'rgb': .*'mAP_all' is not a metric of TADMetric; it has"),
        (dict(folds=['0']), r'`folds` and `fold_variable` belong together'),
        (dict(results='a.txt'), r'`results` must name a \.json file, got a\.txt'),
        (dict(data=['no.npy']), r'data file no\.npy does not exist; prepare the data set'),
    ],
)
def test_faults_of_a_study_are_named(project, more, message):
    with pytest.raises(StudyError, match=message):
        project.catalog(**more).mark(Run('rgb', 0))


@pytest.mark.parametrize(
    ('student', 'message'),
    [
        (dict(teacher='of'), r"row 'student': `teacher` 'of' is not a row; rows are"),
        (dict(teacher=['tg', 'of']), r"row 'student': `teacher` 'of' is not a row; rows are"),
        (dict(teacher='student'), r'`start` go round in a circle: student -> student'),
        (dict(start='rbg'), r"row 'student': `start` 'rbg' is not a row; rows are"),
        (dict(teacher=None), r"row 'student'.* fixed checkpoint elsewhere; name the row"),
        (dict(config='no.py'), r'rows\[0\] \(student\): `config` no\.py does not exist'),
        (dict(name='rgb'), r"rows\[1\]: `name` 'rgb' is taken"),
        (dict(name='a/b'), r"`name` 'a/b' becomes the name of a folder"),
        (dict(cfg_options={'model.teacher_checkpoint': 'x'}), r'name the teacher in `teacher`'),
        (dict(cost=0), r'rows\[0\]: `cost` must be a number > 0, got 0'),
        (dict(titel='x'), r'rows\[0\]: unknown field `titel`; did you mean `title`'),
    ],
)
def test_faults_of_a_row_are_named(project, student, message):
    with pytest.raises(StudyError, match=message):
        project.catalog(rows=project.rows(**student), compare=[]).mark(Run('student', 0))


def test_a_teacher_for_a_config_that_distils_nothing(project):
    rows = project.rows()
    rows[1]['teacher'] = 'tg'
    with pytest.raises(StudyError, match=r"row 'rgb' has `teacher` 'tg', but .*no `model\.teach"):
        project.catalog(rows=rows).mark(Run('rgb', 0))


def test_results_of_another_study_are_not_overwritten(project, capsys):
    file = project.folder / 'other.json'
    file.write_text(json.dumps(dict(study='other', runs={})))
    options = [str(project.folder / 'small.py'), '--results', str(file)]
    project.study()
    assert command.main(options) == 2
    assert "is not of study 'small'" in capsys.readouterr().err
    file.write_text('{')
    assert command.main(options) == 2 and 'not valid JSON' in capsys.readouterr().err
    assert command.main([options[0], '--only', 'rbg']) == 2
    assert "--only: ['rbg'] are not in" in capsys.readouterr().err


def test_two_studies_do_not_share_a_work_directory(tmp_path):
    lock = lock_work_dir(tmp_path)
    with pytest.raises(StudyError, match=rf'in use by another study.*ids {os.getpid()}\)'):
        lock_work_dir(tmp_path)
    lock.release()
    lock_work_dir(tmp_path).release()


def test_cores_and_gpus_are_shared_out(monkeypatch):
    from tools.studies import processes

    monkeypatch.setattr(processes, 'usable_cores', lambda: [4, 5, 6, 7])
    monkeypatch.setattr(processes.torch.cuda, 'device_count', lambda: 0)
    assert [slot.cores for slot in make_slots()] == [(4,), (5,), (6,), (7,)]
    assert [slot.cores for slot in make_slots(2)] == [(4, 5), (6, 7)]
    assert len(make_slots(6)) == 6 and make_slots(1)[0].gpu is None
    monkeypatch.setattr(processes.torch.cuda, 'device_count', lambda: 2)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '3,5')
    assert make_slots() == [Slot((4, 5, 6, 7), 2, '3'), Slot((4, 5, 6, 7), 2, '5')]


def test_progress_is_read_from_the_log(tmp_path):
    log = tmp_path / 'train.log'
    assert training_progress(log, 4) == (0.0, 'starts')
    log.write_text('Epoch(train) [1][20/40]  loss: 1\nEpoch(train)   [2][20/40]  loss: 1\n')
    assert training_progress(log, 4) == (0.375, 'epoch 2/4 (38 %)')
    log.write_text('Iter(train) [ 100/1000]  loss: 1\n')
    assert training_progress(log, None) == (0.1, 'iteration 100/1000')


def test_catalog_needs_the_metric(project):
    text = (project.folder / 'rgb.py').read_text().replace("'TADMetric'", "'OtherMetric'")
    (project.folder / 'rgb.py').write_text(text)
    with pytest.raises(StudyError, match=r"row 'rgb': .*`test_evaluator` has no TADMetric"):
        Catalog(project.study()).mark(Run('rgb', 0))


def test_which_metric_is_called_map_changes_no_result():
    def settings(**evaluator):
        evaluator = dict(type='TADMetric', tious=dict(a=[0.1], b=[0.5]), **evaluator)
        both = Config(dict(model=dict(), test_evaluator=evaluator))
        several = Config(dict(model=dict(), test_evaluator=[evaluator]))
        return [relevant_settings(cfg, testing=True) for cfg in (both, several)]

    assert settings() == settings(main='b') != settings(classwise=True)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'num_classes': 3}, r"row 'student': .*cfg_options num_classes=3 would change nothing"),
        ({'mdel.depth': 3}, r'would change nothing.*did you mean `model\.depth`'),
        ({'data_root': 'nowhere'}, r'cfg_options data_root=nowhere: there is no such folder'),
    ],
)
@pytest.mark.parametrize('of_row', [True, False])
def test_options_that_nothing_reads_are_refused(project, options, message, of_row):
    more = dict(rows=project.rows(cfg_options=options)) if of_row else dict(cfg_options=options)
    with pytest.raises(StudyError, match=message):
        project.catalog(**more).mark(Run('student', 0))


def test_options_move_the_data(project):
    (project.folder / 'elsewhere').mkdir()
    root = str(project.folder / 'elsewhere')
    cfg = project.catalog(cfg_options={'data_root': root}).config(Run('rgb', 0))
    assert cfg.train_dataloader.dataset.data_root == f'{root}/'


def test_averaged_weights_are_other_results():
    """``configs/_base_/averaged_runtime.py`` puts the hook among the default ones."""

    def settings(**hooks):
        return relevant_settings(Config(dict(model=dict(), default_hooks=hooks)), testing=False)

    plain, averaged = settings(), settings(ema=dict(type='EMAHook', momentum=0.001))
    assert plain == settings(run_summary=dict(type='RunSummaryHook'), ema=None) != averaged
    assert averaged != settings(ema=dict(type='EMAHook', momentum=0.01))


def test_long_titles_of_rows_leave_room_for_the_plot():
    report = object.__new__(Report)
    title = 'features, decomposed, local attention, motion dropped in half of the samples'
    report.study = SimpleNamespace(
        title='A study of $5 and $10',
        metric='mAP_0.3:0.7',
        rows={name: SimpleNamespace(title=f'{name}: {title}') for name in 'ab'},
    )
    report.seeds = dict(a=[0, 1], b=[0, 1])
    report.values = lambda row, metric: [0.5, 0.6]
    report.comparisons = [dict(first='a', second='b', low=-0.1, difference=0.0, high=0.1)] * 3
    figure = report.plot()
    figure.canvas.draw()
    assert not figure.axes[0]._left_title.get_parse_math()  # dollars are no formula
    for axes in figure.axes:
        assert axes.bbox.width > 0.2 * figure.bbox.width
        label = axes.xaxis.label.get_window_extent()
        assert label.x0 >= 0 and label.x1 <= figure.bbox.width
        places = [name.get_window_extent() for name in axes.get_yticklabels()]
        assert all(above.y0 > below.y1 for above, below in itertools.pairwise(places))


def test_results_of_other_settings_are_counted(project):
    catalog = project.catalog()
    project.run(catalog, seeds=[0], rows=['rgb'])
    content = json.loads(catalog.study.results.read_text())
    content['runs']['rgb/seed0']['fingerprint'] = 'another'
    catalog.study.results.write_text(json.dumps(content))
    text = Report(Results(catalog)).markdown()
    assert 'No results yet.' in text
    assert f'{catalog.study.results} has 1 runs of other settings, configs or data.' in text
