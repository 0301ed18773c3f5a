"""The quickstart around its study; the run itself is the README's first command."""

import io
import os
import signal
import time
from types import SimpleNamespace

import pytest
from rich.console import Console
from study_helpers import Project, in_fork

from mmtad_decomp.utils.atomic import process_runs
from tools import quickstart
from tools.studies import Catalog, Results, Task, load_study


@pytest.fixture
def catalog(monkeypatch):
    monkeypatch.chdir(quickstart.__file__.rsplit('/tools/', 1)[0])
    return Catalog(load_study(quickstart.STUDY))


def test_the_study_is_complete(catalog):
    rows = catalog.study.rows
    assert list(rows) == ['teacher', 'baseline', 'conventional', 'decomposed']
    assert {name for name, row in rows.items() if row.teacher == ('teacher',)} == {
        'conventional',
        'decomposed',
    }
    assert quickstart.STUDENT in rows and quickstart.SEED in catalog.study.seeds
    marks = {catalog.mark(run) for run in catalog.runs(seeds=[quickstart.SEED])}
    assert len(marks) == len(rows)  # every config resolves, on the embedded data


def test_the_board_follows_the_jobs(catalog):
    runs = {run.row: run for run in catalog.runs(seeds=[quickstart.SEED])}
    plan = [Task(run) for name, run in runs.items() if name != 'baseline']
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=110)
    board = quickstart.Board(catalog, plan, console)
    job = SimpleNamespace(task=plan[0], progress=lambda: (0.25, 'epoch 1/4 (25 %)'))
    execution = SimpleNamespace(jobs=[job], seconds_left=lambda waiting: 90.0 * len(waiting))
    with board.progress:
        board.update(execution, plan[1:])
        lines = {run.row: board.progress.tasks[line] for run, line in board.lines.items()}
        assert (lines['teacher'].completed, lines['teacher'].fields['words']) == (
            0.25,
            'epoch 1/4 (25 %)',
        )
        assert lines['baseline'].fields['words'] == 'done before'
        assert lines['decomposed'].fields['words'] == 'waits'
        assert board.progress.tasks[board.whole].fields['words'] == 'about 3 min left'
        execution.jobs = []
        board.update(execution, [])
        assert all(task.completed == 1 for task in lines.values())
        assert lines['decomposed'].fields['words'] == 'done'
    assert 'motion teacher (TG)' in output.getvalue()


def test_a_failed_step_names_its_log(tmp_path):
    def tool(arguments):
        print('drawing', *arguments)
        raise SystemExit('no such video')

    log = tmp_path / 'new' / 'draw.log'
    with pytest.raises(
        quickstart.StepFailed, match=r'draw failed, see .*draw\.log: no such video'
    ):
        quickstart.run_step('draw', tool, ['a', 'b'], log)
    assert log.read_text().startswith('drawing a b\nTraceback')
    quickstart.run_step('draw', lambda arguments: print('fine'), [], log)
    assert log.read_text() == 'fine\n'


def test_the_table_has_a_line_for_each_system(catalog, monkeypatch, capsys):
    score = {'mAP_0.3:0.7': 0.5, **{f'mAP@{t}': 0.1 * i for i, t in enumerate((0.3, 0.4, 0.5))}}
    score |= {'mAP@0.6': 0.3, 'mAP@0.7': 0.4}
    monkeypatch.setattr(Results, 'score', lambda self, row, seed: dict(validation=score))
    quickstart.print_table(catalog, Results(catalog))
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.endswith('50.0')]) == 4
    assert lines[-1].split()[-6:] == ['0.0', '10.0', '20.0', '30.0', '40.0', '50.0']


def test_a_study_that_cannot_start_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(quickstart, 'STUDY', 'configs/studies/none.py')
    assert quickstart.main([]) == 2
    assert capsys.readouterr().err.strip() == (
        'error: study file configs/studies/none.py does not exist'
    )


def test_a_fresh_run_deletes_all_but_the_lock(tmp_path):
    folder, elsewhere = tmp_path / 'work', tmp_path / 'elsewhere'
    for file in (
        folder / 'rgb' / 'seed0' / 'trained.json',
        folder / 'results.json',
        elsewhere / 'a',
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (folder / 'linked').symlink_to(elsewhere)
    quickstart.clear_work_dir(folder)
    assert [file.name for file in folder.iterdir()] == ['.lock']
    assert (elsewhere / 'a').is_file()


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs POSIX')
def test_ended_by_a_signal_it_leaves_no_training_and_shares_no_folder(
    tmp_path, monkeypatch, capsys
):
    project = Project(tmp_path, monkeypatch)
    project.study(cfg_options={'model.pause': 60})
    monkeypatch.setattr(quickstart, 'STUDY', str(tmp_path / 'small.py'))
    process = in_fork(quickstart.main, [])
    while not any('Epoch' in log.read_text() for log in tmp_path.rglob('train.log')):
        assert process.is_alive()
        time.sleep(0.05)
    logs = list(tmp_path.rglob('train.log'))
    for arguments in ([], ['--fresh']):
        assert quickstart.main(arguments) == 2  # a second start while the first one runs
        assert 'is in use by another study or by processes' in capsys.readouterr().err
        monkeypatch.setattr(quickstart, 'run_study', None)  # --fresh is refused before
    assert all(log.is_file() for log in logs)
    own, *trainings = map(int, (tmp_path / 'work' / '.lock').read_text().split())
    assert own == process.pid and trainings and all(map(process_runs, trainings))
    os.kill(process.pid, signal.SIGTERM)
    process.join(30)
    assert process.exitcode == 128 + signal.SIGTERM and not any(map(process_runs, trainings))
