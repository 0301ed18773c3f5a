"""tools/analysis_tools/report.py: the content, and the page in a browser."""

import base64
import json
import os
import re
import shutil
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from clock_videos import record
from mmengine.config import Config

from tools.analysis_tools import report
from tools.command_line import run_main
from tools.report_page import load_run, load_runs

CLASSES = ('jump', 'run')
TRUTH = {'v0': [(0.4, 1.2, 'jump'), (1.6, 2.0, 'run')], 'v1': [(0.2, 1.2, 'run')]}
# start, end, score, class; v0's run is found by the first only, v1's run by the second only
FIRST = {
    'v0': [(0.4, 1.2, 0.9, 'jump'), (1.6, 2.0, 0.8, 'run'), (0.4, 1.2, 0.7, 'run')],
    'v1': [(1.5, 1.9, 0.95, 'jump'), (0.2, 0.8, 0.05, 'run')],
}
SECOND = {'v0': [(0.4, 1.2, 0.9, 'jump')], 'v1': [(0.2, 1.0, 0.6, 'run')]}


def submission(path, found):
    results = {
        key: [dict(segment=[s, e], score=score, label=label) for s, e, score, label in items]
        for key, items in found.items()
    }
    path.write_text(json.dumps(dict(version='t', results=results, external_data={})))


@pytest.fixture
def runs(tmp_path):
    """Two work directories after a training and a test; returns both and the videos' folder."""
    data = tmp_path / 'data'
    (data / 'videos').mkdir(parents=True)
    database = {}
    for name, items in TRUTH.items():
        record(data / 'videos' / f'{name}.mp4', range(60), size=(192, 128))
        database[name] = dict(
            subset='validation', duration=2.4, fps=25, path=f'videos/{name}.mp4',
            annotations=[dict(segment=[s, e], label=label) for s, e, label in items],
        )  # fmt: skip
    ann_file = data / 'annotations.json'
    ann_file.write_text(json.dumps(dict(classes=CLASSES, database=database)))
    config = dict(
        model=dict(type='TADDetector'),
        test_dataloader=dict(dataset=dict(data_root=str(data))),
        test_evaluator=dict(
            type='TADMetric', ann_file=str(ann_file), subset='validation', classes=CLASSES,
            tious={'0.3:0.7': (0.3, 0.5, 0.7)},
        ),
    )  # fmt: skip
    folders = []
    for name, found in (('first', FIRST), ('second', SECOND)):
        folder = tmp_path / name
        (folder / '20260101' / 'vis_data').mkdir(parents=True)
        (folder / 'any.py').write_text(Config(config).pretty_text)
        submission(folder / 'detections.json', found)
        lines = [json.dumps(dict(step=i, loss=1 / i, lr=0.1)) for i in range(1, 5)]
        (folder / '20260101' / 'vis_data' / 'scalars.json').write_text('\n'.join(lines))
        folders.append(folder)
    return *folders, data


def content_of(page):
    text = Path(page).read_text()
    return json.loads(re.search(r'const CONTENT = (.*);\n', text).group(1).replace('<\\/', '</'))


def test_categories_results_and_found_instances(runs, capsys):
    first, second, _ = runs
    assert report.main([str(first), str(second)]) == 0
    assert '2 in the page' in capsys.readouterr().out
    content = content_of(first / 'report.html')
    assert content['tious'] == [0.3, 0.5, 0.7]
    v0, v1 = content['videos']
    names = content['categories']
    kinds = [[names[c] for c in found['category']] for found in v0['found'][0]]
    assert kinds == [['true positive'] * 3, ['true positive'] * 3, ['wrong label'] * 3]
    kinds = [[names[c] for c in found['category']] for found in v1['found'][0]]
    assert kinds == [['background'] * 3, ['true positive', 'true positive', 'localisation']]
    assert [t['found'] for t in v0['truth']] == [[[True] * 3] * 2, [[True] * 3, [False] * 3]]
    assert v1['truth'][0]['found'] == [[True, True, False], [True, True, True]]
    # AP of run at 0.7: hit, miss of 2 instances; the second has one hit of two
    assert content['runs'][1]['ap'][0] == [1.0, 1.0, 1.0]
    assert content['runs'][1]['ap'][1] == [0.5, 0.5, 0.5]
    assert content['runs'][1]['map'] == [0.75, 0.75, 0.75]
    video = base64.b64decode(v0['src'].partition('base64,')[2])
    assert video == (runs[2] / 'videos' / 'v0.mp4').read_bytes()
    html = (first / 'report.html').read_text()
    assert html.count('<figure>') == 5
    assert not re.search(r'(src|href)="(?!data:)', html)


def test_the_page_holds_no_more_than_its_script_reads(runs):
    """Of ActivityNet's validation videos it holds half a million detections of two runs."""
    assert report.main([str(run) for run in runs[:2]]) == 0
    content, page = content_of(runs[0] / 'report.html'), (runs[0] / 'report.html').read_text()
    assert json.dumps(content, separators=(',', ':')).replace('</', '<\\/') in page
    script = page.partition('const CONTENT = ')[2].partition(';\n')[2]
    video = content['videos'][0]
    for part in (content, content['runs'][0], video, video['truth'][0], video['found'][0][0]):
        assert [key for key in part if not re.search(rf'\b{key}\b', script)] == []


def test_large_videos_are_linked_and_missing_ones_said(runs, tmp_path, capsys):
    first, _, data = runs
    (data / 'videos' / 'v1.mp4').unlink()
    name = 'clip #1? 100%25.mp4'
    (data / 'videos' / 'v0.mp4').rename(data / 'videos' / name)
    ann_file = data / 'annotations.json'
    ann_file.write_text(ann_file.read_text().replace('v0.mp4', name))
    out = tmp_path / 'pages' / 'page.html'
    arguments = ['--embed-mb', '0', '--out', str(out)]
    assert report.main([str(first / 'detections.json'), *arguments]) == 0
    assert '1 linked, 1 without a file' in capsys.readouterr().out
    v0, v1 = content_of(out)['videos']
    address = urlsplit(urljoin(out.as_uri(), v0['src']))
    assert Path(unquote(address.path)).resolve() == (data / 'videos' / name).resolve()
    assert v1['src'] is None


@pytest.mark.parametrize('apart', [False, True])
def test_detections_of_a_study_meet_the_videos_that_they_are_of(
    runs, tmp_path, monkeypatch, apart
):
    """Of the validation there is a config if it was tested apart, else only the training's."""
    first, _, data = runs
    content = json.loads((data / 'annotations.json').read_text())
    content['database']['t0'] = {**content['database']['v0'], 'subset': 'training'}
    (data / 'annotations.json').write_text(json.dumps(content))
    tests = tmp_path / 'seed0' / 'test-ab'
    tests.mkdir(parents=True)
    validation = (first / 'any.py').read_text()
    training = validation.replace("'validation'", "'training'")
    (tests / 'training.py').write_text(training)
    submission(tests / 'training.json', {'t0': FIRST['v0']})
    submission(tests / 'validation.json', FIRST)
    if apart:
        (tests / 'validation.py').write_text(validation)
        validation = validation.replace('0.7)', '0.9)')  # of a test with other settings
    (tests.parent / 'config.py').write_text(validation)
    (tests / 'train_and_test.py').write_text(validation)
    monkeypatch.chdir(tests)  # a folder may be named from within
    for named, video in (
        (tests / 'validation.json', 'v0'),
        (tests, 'v0'),
        (tests.parent, 'v0'),
        (tests / 'training.json', 't0'),
    ):
        run = load_run(os.path.relpath(named))
        assert next(iter(run.annotations.videos)) == video, named
        assert run.tious == (0.3, 0.5, 0.7), named


def test_equal_names_of_folders_are_told_apart(runs, tmp_path):
    """As of decomp/x and baseline/x, of which the page drew one only."""
    first, second, _ = runs
    folders = [tmp_path / name / 'seed0' / 'x' for name in ('decomp', 'baseline')]
    for run, folder in zip((first, second), folders):
        shutil.copytree(run, folder)
    out = tmp_path / 'page.html'
    assert report.main([*map(str, folders), '--out', str(out)]) == 0
    names = ['decomp/seed0/x', 'baseline/seed0/x']
    assert [run['name'] for run in content_of(out)['runs']] == names
    for name in names:
        assert f'<figcaption>Errors by kind: {name}</figcaption>' in out.read_text()
    assert [run.name for run in load_runs([first, folders[0]])] == ['first', 'x']
    shutil.copy(second / 'detections.json', first / 'other.json')
    files = [first / 'detections.json', first / 'other.json']
    assert [run.name for run in load_runs(files)] == ['detections', 'other']


def test_videos_are_where_the_data_set_has_them(runs):
    first, _, data = runs
    ann_file = data / 'annotations.json'
    database = json.loads(ann_file.read_text())
    del database['database']['v0']['path']
    ann_file.write_text(json.dumps(database))
    text = (first / 'any.py').read_text()

    def files(**settings):
        config = Config.fromfile(first / 'any.py')
        config.test_dataloader.dataset.update(settings)
        (first / 'any.py').write_text(config.pretty_text)
        run = load_run(first)
        (first / 'any.py').write_text(text)
        found = [run.video_file(video) for video in run.annotations.videos.values()]
        return [file.relative_to(data).as_posix() for file in found]

    assert files() == ['v0.mp4', 'videos/v1.mp4']
    prefix = dict(data_prefix=dict(video='videos'))
    assert files(**prefix) == ['videos/v0.mp4', 'videos/v1.mp4']
    assert files(**prefix, template='{}.mkv') == ['videos/v0.mkv', 'videos/v1.mkv']
    features = dict(source='feature', data_prefix=dict(feature='i3d'), template='{}.npz')
    assert files(**features) == ['v0.mp4', 'videos/v1.mp4']


def test_a_run_on_verbs(runs):
    first, _, data = runs
    ann_file = data / 'annotations.json'
    ann_file.write_text(ann_file.read_text().replace('"label"', '"verb"'))
    config = Config.fromfile(first / 'any.py')
    config.test_evaluator.label_fields = ('verb',)
    (first / 'any.py').write_text(config.pretty_text)
    run = load_run(first)
    assert run.annotations.classes == CLASSES and run.annotations.census.instances == 3


def test_names_that_look_like_markup_stay_text(runs):
    first = runs[0]
    name = '</script><b>x'
    assert report.main([str(first), '--name', name]) == 0
    assert content_of(first / 'report.html')['runs'][0]['name'] == name
    assert '<b>x' not in (first / 'report.html').read_text().replace('<\\/script><b>x', '')


@pytest.mark.parametrize(
    ('change', 'arguments', 'words'),
    [
        (None, ['none'], 'none does not exist'),
        (None, ['first', 'second', 'first'], 'name one run, or two to compare, got 3'),
        (None, ['first', '--name', 'a', 'b'], '--name takes one value for each run, got 2'),
        (None, ['first', 'second', '--name', 'a', 'a'], '2 runs have the name "a"; give each'),
        (None, ['first', 'first'], '2 runs have the name'),
        (None, ['first', '--embed-mb', '-1'], '--embed-mb must be 0 or more'),
        (lambda f: (f / 'detections.json').unlink(), ['first'], '--dump-json'),
        (lambda f: (f / 'any.py').unlink(), ['first'], 'name it by --config'),
        (lambda f: (f / 'other.py').touch(), ['first'], 'name it by --config'),
        (lambda f: (f / 'any.py').write_text(
            (f / 'any.py').read_text().replace("'validation'", 'None').replace(
                "'jump',\n        'run'", "'run',\n        'jump'")),
         ['first', 'second'], 'on different ground truth'),
        (lambda f: submission(f / 'detections.json', {'x': FIRST['v0']}), ['first'],
         'and name the config of their test by --config'),
        (lambda f: submission(f / 'detections.json', {}), ['first'],
         'detections.json has no detections; name'),
    ],
)  # fmt: skip
def test_mistakes_are_one_sentence(runs, tmp_path, monkeypatch, capsys, change, arguments, words):
    monkeypatch.chdir(tmp_path)
    if change is not None:
        change(tmp_path / 'first')
    assert run_main(report.main, arguments) == 2
    (line,) = (li for li in capsys.readouterr().err.splitlines() if li.startswith('error: '))
    assert words in line
    assert not (tmp_path / 'first' / 'report.html').exists()


@pytest.fixture
def page(runs, tmp_path):
    """The page of both runs in a browser, opened from a file without the videos' folder."""
    playwright = pytest.importorskip('playwright.sync_api', reason='pip install playwright')
    browser_file = shutil.which('chromium') or shutil.which('chromium-browser')
    if browser_file is None:
        pytest.skip('apt install chromium')
    first, second, data = runs
    out = tmp_path / 'alone' / 'report.html'
    assert report.main([str(first), str(second), '--out', str(out)]) == 0
    shutil.rmtree(data)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=browser_file, args=['--no-sandbox'])
        page = browser.new_page(viewport=dict(width=1400, height=1000))
        page.faults = []
        page.on('pageerror', lambda error: page.faults.append(str(error)))
        page.on('request', lambda request: note_request(page, request.url))
        page.goto(out.as_uri())
        page.wait_for_selector('#list tbody tr')
        yield page
        assert page.faults == []
        browser.close()


def note_request(page, url):
    """The page asks for nothing but itself."""
    if not url.startswith(('file:', 'data:', 'blob:')):
        page.faults.append(url)


def rows(page):
    """Kind, class and video of the rows in the list."""
    cells = page.eval_on_selector_all(
        '#list tbody tr', 'rows => rows.map(r => [...r.cells].map(c => c.textContent))'
    )
    return [(cell[0], cell[1], cell[4]) for cell in cells]


def test_a_click_plays_that_moment(page):
    page.locator('#list tbody tr', has_text='found by first only').click()
    page.wait_for_function("document.getElementById('video').readyState >= 2")
    page.wait_for_function("document.getElementById('video').currentTime >= 1.6")
    page.wait_for_function("document.getElementById('video').paused")
    assert 1.95 <= page.evaluate("document.getElementById('video').currentTime") <= 2.2
    assert page.inner_text('#video-name').startswith('v0')
    page.locator('#timeline .bar', has_text='jump').first.click()
    page.wait_for_function(
        "(t => t >= 0.4 && t < 1.4)(document.getElementById('video').currentTime)"
    )
    page.locator('#list tbody tr', has_text='v1').first.press('Enter')
    page.wait_for_function("document.getElementById('video-name').textContent.startsWith('v1')")


def test_classes_have_bars_and_a_difference(page):
    def cells():
        return page.eval_on_selector_all(
            '#class-ap tbody tr', 'rows => rows.map(r => [...r.cells].map(c => c.textContent))'
        )

    heads = page.eval_on_selector_all('#class-ap th', 'cells => cells.map(c => c.textContent)')
    assert heads == ['class', 'instances', 'first', 'second', 'difference']
    page.select_option('#tiou', label='0.7')
    # by falling difference; run: the first finds v0's, the second v1's
    assert cells() == [
        ['run', '2', '50.0', '50.0', '0.0'],
        ['jump', '1', '50.0', '100.0', '-50.0'],
    ]
    sizes = page.eval_on_selector_all(
        '#class-ap .ap', 'cells => cells.map(c => c.style.backgroundSize)'
    )
    assert sizes == ['35% 80%', '35% 80%', '35% 80%', '70% 80%']
    page.locator('#class-ap tbody tr', has_text='jump').click()
    assert {row[1] for row in rows(page)} == {'jump'}


def test_filters_and_order(page):
    everything = rows(page)
    # errors come first: the best false detection, then others, then instances that a run lacks
    assert everything[0] == ('background', 'jump', 'v1')
    assert everything[1] == ('wrong label', 'run', 'v0')
    assert len(everything) == 3 + 4
    page.select_option('#class', label='jump')
    assert {row[1] for row in rows(page)} == {'jump'} and len(rows(page)) == 3
    page.select_option('#class', label='all')
    page.fill('#search', 'V1')
    assert {row[2] for row in rows(page)} == {'v1'}
    page.fill('#search', '')
    page.select_option('#kind', label='wrong label')
    assert rows(page) == [('wrong label', 'run', 'v0')]
    page.select_option('#kind', label='all errors')
    assert sorted(rows(page)) == sorted(everything[:3])
    page.select_option('#kind', label='all')
    page.eval_on_selector(
        '#score', "e => { e.value = 0; e.dispatchEvent(new Event('input', {bubbles: true})); }"
    )
    assert len(rows(page)) == 3 + 5
    page.select_option('#tiou', label='0.7')
    assert ('localisation', 'run', 'v1') in rows(page)
    page.select_option('#order', 'time')
    assert [row[2] for row in rows(page)] == ['v0'] * 5 + ['v1'] * 3


def test_two_runs_show_what_was_gained_and_lost(page):
    page.select_option('#tiou', label='0.7')
    text = page.inner_text('#counts')
    for who in ('both', 'first only', 'second only'):
        assert f'1 found by {who}' in text
    page.select_option('#kind', label='found by second only')
    assert rows(page) == [('found by second only', 'run', 'v1')]
    page.select_option('#run', label='second')
    page.select_option('#kind', label='true positive')
    assert sorted(rows(page)) == [('true positive', 'jump', 'v0'), ('true positive', 'run', 'v1')]
