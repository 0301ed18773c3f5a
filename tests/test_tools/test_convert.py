"""tools/data/convert.py: labels of other programs, checks, and a split by group."""

import json
import shutil
import unicodedata
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from clock_videos import record

from mmtad_decomp.annotations import load_annotations
from mmtad_decomp.apis.exports import export
from mmtad_decomp.apis.results import VideoResult
from mmtad_decomp.apis.video_inputs import VideoInput
from mmtad_decomp.postprocessing import Detections
from tools.analysis_tools import evaluate
from tools.data import convert
from tools.data.labels import LabelError, ReadOptions, read_labels
from tools.data.labels.split import split_by_group

FPS = 25
WANTED = {
    'a': [(0.4, 1.2, 'jump'), (1.6, 2.0, 'run')],
    'b': [(0.2, 0.8, 'run'), (1.0, 1.8, 'jump')],
}


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp('videos')
    for name in WANTED:
        record(folder / f'{name}.mp4', range(60))
    return folder


def run(tmp_path, videos, *arguments, code=0):
    out = tmp_path / 'out'
    options = ['--videos', str(videos), '--out', str(out), '--val-share', '0.5']
    assert convert.main([*map(str, arguments), *options]) == code
    if code:
        assert not (out / 'annotations.json').exists()
        return None
    found = load_annotations(out / 'annotations.json')
    assert all((out / video.path).is_file() for video in found.videos.values())
    return {
        key: [
            (*np.round(segment, 3).tolist(), found.classes[label])
            for segment, label in zip(video.segments, video.labels)
        ]
        for key, video in found.videos.items()
    }


def rows(scale=1.0, form='{:g}'):
    return [
        (f'{name}.mp4', form.format(start * scale), form.format(end * scale), label)
        for name, items in WANTED.items()
        for start, end, label in items
    ]


def table(path, header, lines, delimiter=','):
    text = [header, *lines]
    path.write_text('\n'.join(delimiter.join(line) for line in text), encoding='utf-8-sig')
    return path


HEADER = ('video', 'start', 'end', 'label')


@pytest.mark.parametrize(
    ('header', 'lines', 'delimiter', 'options'),
    [
        (HEADER, rows(), ',', ()),
        (HEADER, [tuple(c.replace('.', ',') if c[0].isdigit() else c for c in r) for r in rows()],
         ';', ()),
        (('File', 'Begin', 'Stop', 'Class'), rows(), '\t', ()),
        (('who', 'from', 'to', 'what'), rows(), ',', ('--columns', 'video=who', 'label=what')),
        (HEADER, rows(1000), ',', ('--unit', 'milliseconds')),
        (HEADER, rows(FPS), ',', ('--unit', 'frames')),
        (HEADER, rows(50), ',', ('--unit', 'frames', '--frame-rate', '50')),
        (HEADER, [(*row, '', ' ') for row in rows()], ';', ()),
        (HEADER, rows(form='00:00:{:06.3f}'), ',', ('--unit', 'milliseconds')),
    ],
)  # fmt: skip
def test_tables(tmp_path, videos, header, lines, delimiter, options):
    path = table(tmp_path / 'labels.csv', header, lines, delimiter)
    assert run(tmp_path, videos, path, *options) == WANTED


@pytest.mark.parametrize(
    ('times', 'frames', 'wanted'),
    [
        ([*range(0, 1000, 100), *range(1000, 2000, 40)], [(5, 10), (15, 20), (30, 35)],
         [(0.5, 1.0), (1.2, 1.4), (1.8, 2.0)]),  # variable rate
        (range(700, 2700, 40), [(0, 10), (20, 50), (49, 51)],
         [(0.7, 1.1), (1.5, 2.7), (2.66, 2.7)]),  # begins late
    ],
)  # fmt: skip
def test_frame_numbers_count_pictures(tmp_path, times, frames, wanted):
    for name in 'ab':
        record(tmp_path / 'in' / f'{name}.mkv', range(len(times)), times)
    lines = [(name, f'{start}', f'{end}', 'run') for name in 'ab' for start, end in frames]
    path = table(tmp_path / 'labels.csv', HEADER, lines)
    found = run(tmp_path, tmp_path / 'in', path, '--unit', 'frames')
    assert found == {name: [(*span, 'run') for span in wanted] for name in 'ab'}


def results(videos):
    classes = ('jump', 'run')
    for name, items in WANTED.items():
        found = Detections(
            np.array([item[:2] for item in items]),
            np.linspace(0.9, 0.5, len(items)),
            np.array([classes.index(item[2]) for item in items]),
        )
        yield VideoResult(VideoInput(str(videos / f'{name}.mp4'), name), 2.4, FPS, found, classes)


def test_our_own_files_come_back(tmp_path, videos):
    files = export(tmp_path / 'found', list(results(videos)), ['csv', 'elan', 'label-studio'])
    table_file, *documents, tasks_file = files
    assert run(tmp_path / 'csv', videos, table_file) == WANTED
    elan = ['--name-from', 'tier', *['--layers', 'run', 'jump']]
    assert run(tmp_path / 'elan', videos, *documents, *elan) == WANTED
    tasks = json.loads(tasks_file.read_text())
    for task in tasks:
        task['annotations'] = task.pop('predictions')
    path = tmp_path / 'tasks.json'
    path.write_text(json.dumps(tasks))
    assert run(tmp_path / 'label_studio', videos, path) == WANTED


@pytest.mark.parametrize(
    ('address', 'name'),
    [
        ('/data/upload/1/0a1b2c3d-my%20take.mp4', 'my take'),
        ('http://host/ls/data/upload/7/0a1b2c3d-20240115-x.mp4?token=1', '20240115-x'),
        ('/data/local-files/?d=vids/20240115-kitchen%201.mp4', '20240115-kitchen 1'),
        ('https://host/cam_20240115-morning.mp4', 'cam_20240115-morning'),
        ('videos/20240115-morning.mp4', '20240115-morning'),
        ('videos/take #2.mp4', 'take #2'),
        ('videos/100%25 what?.mp4', '100%25 what?'),
        ('http://host/', None),
    ],
)
def test_addresses_of_label_studio(tmp_path, address, name):
    value = dict(start=0, end=1, labels=['run'])
    task = dict(data=dict(video=address), annotations=[dict(result=[dict(value=value)])])
    path = tmp_path / 'tasks.json'
    path.write_text(json.dumps([task]))
    if name is None:
        with pytest.raises(LabelError, match=r"task 0: 'http://host/' names no file"):
            read_labels(path, ReadOptions())
    else:
        (label,) = read_labels(path, ReadOptions())
        assert convert.video_id(label.video) == name


@pytest.mark.parametrize(
    ('name', 'wanted'),
    [('clip.v1', 'clip.v1'), ('x/clip.v1.MP4', 'clip.v1'), ('C:\\x\\clip.v1.wav', 'clip.v1')],
)
def test_ids_keep_their_dots(name, wanted):
    assert convert.video_id(name) == wanted


def test_elan_values_and_media_that_start_later(tmp_path, videos):
    slots = ''.join(
        f'<TIME_SLOT TIME_SLOT_ID="t{i}" TIME_VALUE="{value}"/>'
        for i, value in enumerate((300, 1100, 1500, 1900))
    )
    items = ''.join(
        f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="n{i}" TIME_SLOT_REF1="t{i}" '
        f'TIME_SLOT_REF2="t{i + 1}"><ANNOTATION_VALUE> {label} </ANNOTATION_VALUE>'
        '</ALIGNABLE_ANNOTATION></ANNOTATION>'
        for i, label in ((0, 'jump'), (2, 'run'))
    )
    refs = (
        '<TIER TIER_ID="notes"><ANNOTATION><REF_ANNOTATION ANNOTATION_ID="r" ANNOTATION_REF="n0">'
        '<ANNOTATION_VALUE>odd</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION></TIER>'
    )
    (tmp_path / 'x.eaf').write_text(
        '<ANNOTATION_DOCUMENT><HEADER TIME_UNITS="milliseconds"><MEDIA_DESCRIPTOR '
        'MEDIA_URL="file:///C:/old%20place/a.mp4" TIME_ORIGIN="100"/></HEADER>'
        f'<TIME_ORDER>{slots}</TIME_ORDER><TIER TIER_ID="actions">{items}</TIER>{refs}'
        '</ANNOTATION_DOCUMENT>'
    )
    csv = table(tmp_path / 'b.csv', HEADER, rows()[2:])
    assert run(tmp_path, videos, tmp_path / 'x.eaf', csv) == WANTED
    missing = ['--layers', 'none']
    assert run(tmp_path / 'missing', videos, tmp_path / 'x.eaf', *missing, code=2) is None


def test_via(tmp_path, videos):
    metadata = {
        f'1_{i}': dict(vid=str('ab'.index(name) + 1), z=[start, end], xy=[], av={'1': label[0]})
        for i, (name, items) in enumerate(WANTED.items())
        for start, end, label in items[:1]
    }
    metadata |= {
        f'2_{name}': dict(vid=str('ab'.index(name) + 1), z=list(items[1][:2]), xy=[],
                          av={'1': items[1][2][0]})
        for name, items in WANTED.items()
    }  # fmt: skip
    metadata['spatial'] = dict(vid='1', z=[0.5], xy=[2, 1, 1, 5, 5], av={'2': 'x'})
    project = dict(
        project=dict(vid_list=['1', '2']),
        attribute={
            '1': dict(aname='action', anchor_id='FILE1_Z2_XY0', type=4,
                      options=dict(j='jump', r='run')),
            '2': dict(aname='thing', anchor_id='FILE1_Z1_XY1', type=1, options={}),
        },
        file={'7': dict(fid=7, fname='a.mp4'), '8': dict(fid=8, fname='b.mp4')},
        view={'1': dict(fid_list=[7]), '2': dict(fid_list=[8])},
        metadata=metadata,
    )  # fmt: skip
    path = tmp_path / 'via.json'
    path.write_text(json.dumps(project))
    assert run(tmp_path, videos, path) == WANTED
    assert run(tmp_path / 'o', videos, path, '--layers', 'thing', code=2) is None


def box(frame, outside=0):
    return (
        f'<box frame="{frame}" outside="{outside}" keyframe="1" xtl="0" ytl="0" xbr="1" ybr="1"/>'
    )


def cvat(path, name, tracks='', images='', step=1):
    path.write_text(
        f'<annotations><version>1.1</version><meta><task><id>1</id><source>{name}</source>'
        f'<frame_filter>step={step}</frame_filter></task></meta>{tracks}{images}</annotations>'
    )
    return path


def test_cvat_tracks_and_tags(tmp_path, videos):
    tracks = ''.join(
        f'<track id="{i}" label="{label}">{box(round(s * FPS))}{box(round(e * FPS), 1)}</track>'
        for i, (s, e, label) in enumerate(WANTED['a'])
    )
    images = ''.join(
        f'<image id="{frame}" name="frame_{frame:06}">'
        + ''.join(
            f'<tag label="{label}"/>'
            for s, e, label in WANTED['b']
            if round(s * FPS) <= frame < round(e * FPS)
        )
        + '</image>'
        for frame in range(60)
    )
    first = cvat(tmp_path / 'a.xml', 'a.mp4', tracks=tracks)
    second = cvat(tmp_path / 'b.xml', 'b.mp4', images=images)
    assert run(tmp_path, videos, first, second) == WANTED


def test_a_cvat_track_that_comes_back_and_one_that_stays(tmp_path, videos):
    track = f'<track id="0" label="run">{box(5)}{box(10, 1)}{box(20)}{box(25)}</track>'
    path = cvat(tmp_path / 'a.xml', 'a.mp4', tracks=track, step=5)
    other = table(tmp_path / 'b.csv', HEADER, [('b.mp4', '0', '1', 'run')])
    assert run(tmp_path, videos, path, other)['a'] == [(0.2, 0.4, 'run'), (0.8, 1.2, 'run')]


def boris_project(offset=0.0, cut=0):
    observations = {}
    for name, items in WANTED.items():
        events = [[t, '', label, '', ''] for s, e, label in items for t in (s, e)]
        events.append([0.1, '', 'blink', '', ''])
        files = {'1': [f'/old/{name}.mp4'], '2': []}
        observations[name] = {
            'type': 'MEDIA', 'file': files, 'events': events[cut:], 'time offset': offset
        }  # fmt: skip
    behaviours = {
        str(i): dict(code=code, type=kind)
        for i, (code, kind) in enumerate(
            [('jump', 'State event'), ('run', 'State event'), ('blink', 'Point event')]
        )
    }
    return dict(observations=observations, behaviors_conf=behaviours)


def test_boris_projects_and_tables(tmp_path, videos, capsys):
    path = tmp_path / 'p.boris'
    path.write_text(json.dumps(boris_project()))
    assert run(tmp_path / 'p', videos, path) == WANTED
    header = ('Observation id', 'Media file name', 'Behavior', 'Behavior type', 'Start (s)',
              'Stop (s)')  # fmt: skip
    lines = [('o', f'/x/{v}', label, 'STATE', s, e) for v, s, e, label in rows()]
    lines.append(('o', '/x/a.mp4', 'blink', 'POINT', '0.1', '0.1'))
    assert run(tmp_path / 't', videos, table(tmp_path / 'e.tsv', header, lines, '\t')) == WANTED
    for project, words in (
        (boris_project(offset=2.0), 'has a time offset'),
        (boris_project(cut=1), 'does not end'),
    ):
        path.write_text(json.dumps(project))
        run(tmp_path / 'bad', videos, path, code=2)
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ('content', 'options', 'words'),
    [
        ('video,start,end\na.mp4,0,1\n', (), 'no column for the label'),
        ('video,start,end,label\na.mp4,soon,1,run\n', (), "line 2, start: 'soon' is no time"),
        ('video,start,end,label\na.mp4,0,1,\n', (), 'line 2: the action has no label'),
        ('video,start,end,label\n,0,1,run\n', (), 'line 2: the video is not named'),
        ('video,start,end,label\na.mp4,0:10,1,run\n', (), 'written in two ways'),
        ('video,start,end,label\n', (), 'no action in 1 files'),
        ('video,start,end,label\na.mp4,0,1,run\n', (), 'all videos are of one group'),
        ('video,start,end,label\na.mp4,0,1,run\nb.mp4,0,1,run\n', ('--classes', 'jump'),
         "no label 'jump'"),
        ('video,start,end,label\na.mp4,0,1,run\nb.mp4,0,1,run\n', ('--group-by', '^c'),
         "does not match the video id 'a'"),
        ('video,start,end,label\na.mp4,0,1,run\nb.mp4,0,1,run\n', ('--group-by', '('),
         "--group-by '(' is no regular expression"),
        ('video,start,end,label\na.mp4,0,1,run\nb.mp4,0,1,run\n', ('--classes', 'run', 'run'),
         "--classes names 'run' twice"),
        ('', (), 'labels.csv: the first line is empty'),
        ('video,start,end,label\na.mp4,0,1,run\nb.mp4,0,1,5,run\n', (),
         "line 3: more cells than columns, the last is 'run'; put quotes"),
        ('video,start,end,label,subset\na.mp4,0,1,run,dev\nb.mp4,0,1,run,training\n', (),
         "labels.csv, line 2: subset 'dev' is unknown"),
        ('video,start,end,label,subset\na.mp4,0,1,run,training\nb.mp4,0,1,run,training\n'
         'a.mp4,1,2,run,validation\n', (), 'labels.csv, line 2 and {path}, line 4; keep one'),
        ('video,start,end,label,subset\na.mp4,0,1,run,training\nb.mp4,0,1,run,\n', (),
         'labels.csv, line 3: names no subset of b'),
        ('video,start,end,label\na.mp4,25,50,run\nb.mp4,30,55,run\n', (),
         'look like frames: divide them by the frames per second of their video, or correct '
         '"duration"; for tables say so by --unit'),
        ('video,start,end,label\na.mp4,1.5,0.5,run\nb.mp4,0,1,run\n', ('--strict',),
         '1 labels are odd (--strict)'),
        ('video,start,end,label\na.mp4,0.5,0.5,run\nb.mp4,1,0.5,run\n', (),
         'no action ends after it begins'),
        ('video,start,end,label\na.mp4,0,1,run\n\n\nb.mp4,0,soon,run\n', (), 'line 5, end'),
        ('\ufeffvideo,"start",end,label,note\r\na.mp4,0,1,run,"two\r\nlines"\r\n'
         'b.mp4,0,soon,run,\r\n', (), 'line 4, end'),
    ],
)  # fmt: skip
def test_mistakes_are_one_sentence(tmp_path, videos, capsys, content, options, words):
    path = tmp_path / 'labels.csv'
    path.write_text(content)
    run(tmp_path, videos, path, *options, code=2)
    assert not (tmp_path / 'out').exists()
    (line,) = (li for li in capsys.readouterr().err.splitlines() if li.startswith('error: '))
    assert words.format(path=path) in line


@pytest.mark.parametrize('copy', [(), ('--copy',)])
@pytest.mark.parametrize('folder', ['videos', 'deep/out/videos', ''])
def test_videos_stay_where_they_are(tmp_path, videos, capsys, folder, copy):
    """Videos in the folder that is written, beside it, and above it; twice."""
    mine = tmp_path / 'mine'
    shutil.copytree(videos, mine / folder, dirs_exist_ok=True)
    before = {p: p.read_bytes() for p in mine.rglob('*.mp4')}
    path = table(tmp_path / 'labels.csv', HEADER, rows())
    out = mine if folder == 'videos' else mine / 'deep' / 'out'
    options = ['--videos', str(mine), '--out', str(out), *copy]
    for _ in range(2):
        assert convert.main([str(path), *options]) == 0, capsys.readouterr().err
    assert {p: p.read_bytes() for p in before} == before
    assert not any(p.is_symlink() for p in before)
    assert load_annotations(out / 'annotations.json').videos.keys() == WANTED.keys()


def test_no_other_video_and_no_label_is_replaced(tmp_path, videos, capsys):
    path = table(tmp_path / 'labels.csv', HEADER, rows())
    other = record(tmp_path / 'out' / 'videos' / 'a.mp4', range(30))
    content = other.read_bytes()
    run(tmp_path, videos, path, code=2)
    assert f'{other} is another video than' in capsys.readouterr().err
    assert other.read_bytes() == content and [*other.parent.iterdir()] == [other]
    tasks = tmp_path / 'annotations.json'
    tasks.write_text('[]')
    assert convert.main([str(tasks), '--videos', str(videos), '--out', str(tmp_path)]) == 2
    assert f'{tasks} would be replaced' in capsys.readouterr().err and tasks.read_text() == '[]'
    assert convert.main([str(path), '--videos', str(videos), '--out', str(tmp_path)]) == 2
    assert f'{tasks} would be replaced, but this command' in capsys.readouterr().err
    assert tasks.read_text() == '[]' and not (tmp_path / 'videos').exists()


@pytest.mark.parametrize('kind', ['missing', 'unreadable'])
def test_a_video_that_cannot_be_used_is_named(tmp_path, videos, capsys, kind):
    folder = tmp_path / 'in'
    shutil.copytree(videos, folder)
    if kind == 'unreadable':
        (folder / 'c.mp4').write_text('no video')
    path = table(tmp_path / 'labels.csv', HEADER, [('c.mp4', '0', '1', 'run'), *rows()])
    run(tmp_path, folder, path, code=1)
    error = capsys.readouterr().err
    words = {'missing': 'no video file c.* under', 'unreadable': 'c.mp4 cannot be read'}
    assert words[kind] in error
    assert 'Nothing is written; fix' in error and 'Everything else' not in error
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('header', 'last', 'options', 'code', 'words'),
    [
        (HEADER, (), ('--group-by', 'person'), 2, "--group-by 'person' does not match"),
        ((*HEADER, 'subset'), ('train',), (), 2, "subset 'train' is unknown"),
        ((*HEADER, 'subset'), ('train',), ('--subsets', 'training=trian'), 2, 'trian: write'),
        (HEADER, (), ('c.csv',), 1, 'no video file c.* under'),
        (HEADER, (), ('place',), 2, 'is another video than'),
    ],
)
def test_mistakes_that_no_video_shows_come_before_videos_are_decoded(
    tmp_path, videos, capsys, monkeypatch, header, last, options, code, words
):
    read = []
    monkeypatch.setattr('mmtad_decomp.datasets.probe_video', read.append)
    path = table(tmp_path / 'labels.csv', header, [(*row, *last) for row in rows()])
    if options == ('c.csv',):
        options = [table(tmp_path / 'c.csv', HEADER, [('c.mp4', '0', '1', 'run')])]
    if options == ('place',):
        options = ()
        (tmp_path / 'out' / 'videos').mkdir(parents=True)
        (tmp_path / 'out' / 'videos' / 'a.mp4').write_text('mine')
    run(tmp_path, videos, path, *options, code=code)
    assert words in capsys.readouterr().err and read == []


def test_videos_are_decoded_by_several_processes(tmp_path, videos, monkeypatch):
    path = table(tmp_path / 'labels.csv', HEADER, rows())
    asked, real = [], convert.parallel_map

    def spy(function, items, workers, description):
        asked.append(workers)
        return real(function, items, workers, description)

    monkeypatch.setattr(convert, 'parallel_map', spy)
    options = ['--videos', str(videos), '--val-share', '0.5', '--out']
    for name, more in (('two', ['--workers', '2']), ('default', [])):
        assert convert.main([str(path), *options, str(tmp_path / name), *more]) == 0
    assert asked == [2, 1]
    two, default = ((tmp_path / n / 'annotations.json').read_bytes() for n in ('two', 'default'))
    assert two == default


def test_odd_labels_are_listed_with_their_lines(tmp_path, videos, capsys):
    odd = [
        ('a.mp4', '2.0', '1.0', 'run'),
        ('a.mp4', '5', '6', 'run'),
        ('a.mp4', '2.2', '3', 'run'),
        ('b.mp4', '0.2', '0.8', 'run'),
        ('b.mp4', '0.5', '0.9', 'run'),
    ]
    found = run(tmp_path, videos, table(tmp_path / 'labels.csv', HEADER, [*rows(), *odd]))
    out = capsys.readouterr().out
    for line, words in (
        (6, '1 no length'), (7, '1 outside the video'), (8, '1 beyond the ends'),
        (9, '1 twice'), (10, 'overlapping one of the same class'),
    ):  # fmt: skip
        assert words in out and f'line {line}: run' in out
    assert len(found['a']) == 3 and len(found['b']) == 3
    for words in ('instances', 'length (s)', 'data_root = ', "classes = ('jump', 'run')"):
        assert words in out


def test_statistics_count_what_loading_keeps(tmp_path, videos, capsys):
    odd = [('a.mp4', '0.5', '75', 'run'), ('b.mp4', '2.0', '1.0', 'hop')]
    run(tmp_path, videos, table(tmp_path / 'labels.csv', HEADER, odd))
    out = capsys.readouterr().out.splitlines()
    assert [line.split() for line in out if line.startswith(('run', 'hop'))] == [
        ['hop', '0', '0'],
        ['run', *(('0', '1') if 'videos/a.mp4' in validation(tmp_path) else ('1', '0'))],
        ['hop'],
        ['run', '1.90', '1.90', '1.90'],
    ]
    assert {'sample_fps = 3', 'window = 8'} <= set(out)  # 4 frames in 1.9 s; all of 2.4 s


def validation(folder):
    content = json.loads((folder / 'out' / 'annotations.json').read_text())['database']
    return {video['path'] for video in content.values() if video['subset'] == 'validation'}


def test_classes_that_differ_in_capital_letters_alone_are_named(tmp_path, videos, capsys):
    path = table(tmp_path / 'labels.csv', HEADER, [*rows(), ('b.mp4', '2', '2.2', 'Run')])
    run(tmp_path, videos, path)
    out = capsys.readouterr().out
    assert '1 class names that differ in capital letters alone' in out
    assert f'  run ({path}, line 3), Run ({path}, line 6)\n' in out
    run(tmp_path, videos, path, '--classes', 'run', 'jump')
    assert 'capital letters' not in capsys.readouterr().out


@pytest.mark.parametrize(('labels', 'files'), [('NFC', 'NFD'), ('NFD', 'NFC')])
def test_names_with_accents_are_one_name_in_both_forms(tmp_path, videos, labels, files):
    folder = tmp_path / 'videos'
    for name in WANTED:
        folder.mkdir(exist_ok=True)
        shutil.copy(videos / f'{name}.mp4', folder / unicodedata.normalize(files, f'{name}é.mp4'))
    lines = [(f'{row[0][0]}é.mp4', *row[1:3], f'{row[3]}é') for row in rows()]
    lines = [[unicodedata.normalize(labels, cell) for cell in line] for line in lines]
    lines[1:2] = [[unicodedata.normalize(files, cell) for cell in lines[1]]]
    found = run(tmp_path, folder, table(tmp_path / 'labels.csv', HEADER, lines))
    assert found == {
        f'{name}é': [(*item[:2], f'{item[2]}é') for item in items]
        for name, items in WANTED.items()
    }


def database(file, **changes):
    """WANTED as ActivityNet-style JSON, with other values in the entry of ``a``."""
    subsets = dict(a='Validation', b='Test')
    videos = {
        name: dict(
            subset=subsets[name],
            duration=2.4,
            annotations=[dict(segment=item[:2], label=item[2]) for item in items],
        )
        for name, items in WANTED.items()
    }
    videos['a'].update(changes)
    file.write_text(json.dumps(dict(database=videos)))
    return file


SUBSETS = ('--subsets', 'training=Validation', 'validation=Test')


def test_activitynet_style_json(tmp_path, videos, capsys):
    path = database(tmp_path / 'labels.json', path='videos/a.mp4', duration=9.5)
    assert run(tmp_path, videos, path, *SUBSETS) == WANTED
    content = json.loads((tmp_path / 'out' / 'annotations.json').read_text())['database']
    assert {key: video['subset'] for key, video in content.items()} == {
        'a': 'training', 'b': 'validation',
    }  # fmt: skip
    assert content['a']['duration'] == 2.4
    out = capsys.readouterr().out
    assert '1 videos of another length' in out and 'videos/a.mp4 lasts 2.4 s, not 9.5 s' in out


@pytest.mark.parametrize(
    ('fields', 'name'),
    [('verb', lambda x: x), ('verb,noun', '{},7'.format), ('noun,verb', '7,{}'.format)],
)
def test_fields_of_activitynet_style_json(tmp_path, videos, capsys, fields, name):
    path = database(tmp_path / 'labels.json')
    content = json.loads(path.read_text())
    for video in content['database'].values():
        for item in video['annotations']:
            item.update(verb=item.pop('label'), noun=7)
    path.write_text(json.dumps(content))
    wanted = {
        video: [(start, end, name(verb)) for start, end, verb in items]
        for video, items in WANTED.items()
    }
    assert run(tmp_path, videos, path, *SUBSETS, '--labels', fields) == wanted
    run(tmp_path / 'other', videos, path, *SUBSETS, code=2)
    assert 'needs a string field "label"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('changes', 'options', 'words'),
    [
        ({}, (*SUBSETS, '--labels', 'verb,label'), 'needs a string field "verb" and "label"'),
        ({}, (), 'video "a", annotations[0]: subset \'Validation\' is unknown; use training, '
         "validation, testing, or say which ones ['Validation', 'Test'] are by --subsets"),
        ({}, ('--subsets', 'train=Test'), "--subsets train=Test: write SUBSET=NAME"),
        ({}, ('--subsets', 'training=train'), "names ['Test', 'Validation']"),
        (dict(subset=1), SUBSETS, '"subset" must be a text, got 1'),
        (dict(path=['a.mp4']), SUBSETS, '"path" must be a text'),
        (dict(duration='long'), SUBSETS, "'long' is no number"),
        (dict(annotations=[dict(label='run')]), SUBSETS, 'annotations[0]: field "segment"'),
        (dict(annotations=[dict(segment=[0, 1], label=' ')]), SUBSETS,
         'annotations[0]: the action has no label'),
        (dict(annotations=[dict(segment=[25, 50], label='run')] * 5), SUBSETS, 'look like frames'),
    ],
)  # fmt: skip
def test_mistakes_in_activitynet_style_json(tmp_path, videos, capsys, changes, options, words):
    run(tmp_path, videos, database(tmp_path / 'labels.json', **changes), *options, code=2)
    assert words in capsys.readouterr().err


@pytest.mark.parametrize('parse', [convert.parse_args, evaluate.parse_args])
@pytest.mark.parametrize('fields', ['verb,', '', 'verb,,noun'])
def test_fields_without_a_name_are_refused_by_all_tools(capsys, parse, fields):
    with pytest.raises(SystemExit):
        parse(['a.json', 'b.json', '--labels', fields])
    assert f'--labels: {fields!r} must name a field (verb), or' in capsys.readouterr().err


def test_groups_stay_together_and_classes_are_spread():
    groups = {f'p{i}_{j}': f'p{i}' for i in range(10) for j in range(3)}
    counts = {v: Counter({'often': 5, 'rare': int(g in ('p0', 'p1'))}) for v, g in groups.items()}
    subsets = split_by_group(groups, counts, share=0.3, seed=0)
    held = {groups[v] for v, subset in subsets.items() if subset == 'validation'}
    assert len(held) == 3 and held & {'p0', 'p1'} and not {'p0', 'p1'} <= held
    trained = {groups[v] for v, subset in subsets.items() if subset == 'training'}
    assert not held & trained
    assert subsets == split_by_group(groups, counts, share=0.3, seed=0)


def test_groups_by_pattern_and_by_column(tmp_path, videos):
    for name in ('p1_x', 'p1_y', 'p2_x', 'p2_y'):
        record(Path(videos, f'{name}.mp4'), range(30))
    lines = [(n, '0', '1', 'run') for n in ('p1_x', 'p1_y', 'p2_x', 'p2_y')]
    by_pattern = table(tmp_path / 'p.csv', HEADER, lines)
    grouped = [(*line, line[0][-1]) for line in lines]
    by_column = table(tmp_path / 'c.csv', (*HEADER, 'group'), grouped)
    for path, options, place in (
        (by_pattern, ('--group-by', r'^(p\d)'), slice(0, 2)),
        (by_column, (), slice(-1, None)),
    ):
        run(tmp_path, videos, path, *options)
        content = json.loads((tmp_path / 'out' / 'annotations.json').read_text())
        subsets = {}
        for key, video in content['database'].items():
            subsets.setdefault(key[place], set()).add(video['subset'])
        assert sorted(map(sorted, subsets.values())) == [['training'], ['validation']]


@pytest.mark.parametrize(
    ('seconds', 'action', 'window'),
    [
        (3.0, 0.5, 75),  # whole, not 64 frames twice
        (3.8, 0.5, 95),
        (3.84, 0.5, 64),
        (2.0, 0.5, 50),
        (600.0, 2.0, 150),
        (600.0, 60.0, 512),
    ],
)
def test_the_window_is_three_actions_or_a_whole_video(tmp_path, seconds, action, window):
    infos = [SimpleNamespace(fps=25.0, duration=seconds), SimpleNamespace(fps=25.0, duration=1.0)]
    # the shortest actions ask for the videos' own rate
    lines = convert.suggest([*[0.1] * 10, *[action] * 90], infos, tmp_path, ('run', 'jump'))
    assert lines.splitlines()[-2:] == ['sample_fps = 25', f'window = {window}']
