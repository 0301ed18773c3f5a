"""tools/infer.py: files written, exit codes, one sentence for every mistake."""

import errno
import io
import json
import os
import re
import signal
import socket
import sys
from contextlib import nullcontext
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from clock_videos import record
from inference_helpers import publish_tiny, tiny_config, train

from mmtad_decomp.apis import TADInferencer, VideoInput, VideoResult, parts
from mmtad_decomp.postprocessing.detections import concatenate
from tools import infer
from tools.command_line import run_main

ROOT = Path(__file__).resolve().parents[2]
# GRID's annotation of bbaf2n; the letter F is no class.
DEMO_WORDS = {
    'bin': (0.95, 1.18),
    'blue': (1.18, 1.36),
    'at': (1.36, 1.42),
    'two': (1.64, 1.89),
    'now': (1.89, 2.12),
}


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return str(publish_tiny(tmp_path_factory.mktemp('model')))


def run(capsys, *arguments):
    """Exit code, stdout and stderr."""
    code = run_main(infer.main, [*map(str, arguments), '--device', 'cpu', '--quiet'])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_files_of_all_formats_and_pictures(tmp_path, model, capsys):
    (tmp_path / 'in').mkdir()
    for name in ('one', 'two'):
        record(tmp_path / 'in' / f'{name}.mp4', range(50))
    wanted = ['--format', *infer.FORMATS, '--picture', '--annotated-video']
    out = tmp_path / 'out'
    code, text, _ = run(capsys, tmp_path / 'in', '--model', model, *wanted, '--out-dir', out)
    assert code == 0 and 'one.mp4 (2.0 s)' in text
    written = {path.name for path in out.iterdir()}
    by_video = {f'{n}.{e}' for n in ('one', 'two') for e in ('vtt', 'srt', 'eaf', 'png', 'mp4')}
    assert written == {'detections.json', 'detections.csv', 'label_studio.json'} | by_video
    results = json.loads((out / 'detections.json').read_text())['results']
    assert set(results) == {'one', 'two'} and len(results['one']) > 0
    assert all(detection['score'] >= 0.1 for detection in results['one'])
    image = cv2.imread(str(out / 'one.png'))
    assert image.shape[1] >= 1000 and len(np.unique(image.reshape(-1, 3), axis=0)) > 50


def test_videos_whose_long_names_are_equal_are_all_done(tmp_path, model, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ['a/x.mp4', 'c/x.mp4', 'a_x.mp4']
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        record(tmp_path / name, range(10))
    command = (*names, '--model', model, '--format', 'json', 'vtt', '--out-dir')
    code, out, _ = run(capsys, *command, 'out')
    assert code == 0
    assert [line.partition(' (')[0] for line in out.splitlines() if ' s): ' in line] == names
    found = json.loads((tmp_path / 'out/detections.json').read_text())
    assert [video['path'] for video in found['videos'].values()] == names
    assert len(found['results']) == len([*(tmp_path / 'out').glob('*.vtt')]) == 3


def test_a_folder_that_holds_another_runs_folder(tmp_path, model, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record(tmp_path / 'v.mp4', range(10))
    command = ('v.mp4', '--model', model, '--format', 'json')
    for options in ((), ('--out-dir', '.')):
        assert run(capsys, *command, *options)[0] == 0
    assert contents(tmp_path).keys() == {'v.mp4', 'detections.json'}
    assert contents(tmp_path / 'detections').keys() == {'detections.json'}
    (tmp_path / 'o/detections.csv').mkdir(parents=True)
    code, _, err = run(capsys, *command, 'csv', '--out-dir', 'o')
    assert code == 2 and 'o/detections.csv is a folder; name another place' in err


def test_names_that_are_not_utf_8_are_escaped_everywhere(tmp_path, model, capfd):
    video = record(tmp_path / os.fsdecode(b'\xe9.mp4'), range(20))
    wanted = ['--format', *infer.FORMATS, '--picture', '--annotated-video']
    out = tmp_path / 'out'
    assert run(capfd, video, '--model', model, *wanted, '--out-dir', out)[0] == 0
    by_video = {f'%E9.{ending}' for ending in ('vtt', 'srt', 'eaf', 'png', 'mp4')}
    assert {path.name for path in out.iterdir()} == {
        'detections.json',
        'detections.csv',
        'label_studio.json',
        *by_video,
    }
    path = str(tmp_path / '%E9.mp4')
    found = json.loads((out / 'detections.json').read_bytes().decode())
    assert found['videos'] == {'%E9': {'path': path, 'duration': 0.8}} and found['results']['%E9']
    assert (out / 'detections.csv').read_bytes().decode().splitlines()[1].startswith(f'{path},')
    assert json.loads((out / 'label_studio.json').read_bytes())[0]['data']['video'] == path
    assert f'file://{tmp_path}/%E9.mp4' in (out / '%E9.eaf').read_bytes().decode()
    part = (video, '--model', model, '--shard', '1/2', '--out-dir', tmp_path)
    assert run(capfd, *part)[0] == 0
    assert run(capfd, *part[:4], '2/2', *part[5:])[0] == 0
    assert run_join(capfd, tmp_path)[0] == 0
    assert json.loads((tmp_path / 'detections.json').read_bytes()) == found


def test_a_stdout_that_lacks_characters_prints_their_codes(tmp_path, model, monkeypatch):
    video, out = record(tmp_path / 'é你.mp4', range(10)), tmp_path / 'out'
    stdout = io.TextIOWrapper(io.BytesIO(), encoding='latin-1')
    monkeypatch.setattr(sys, 'stdout', stdout)
    options = ['--model', model, '--format', 'json', '--out-dir', str(out), '--device', 'cpu']
    assert run_main(infer.main, [str(video), *options, '--quiet']) == 0
    assert (out / 'detections.json').exists()
    assert 'é\\u4f60.mp4 (0.4 s)' in stdout.buffer.getvalue().decode('latin-1')


@pytest.fixture
def closed_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, 'w', encoding='utf-8') as file:
        yield file  # and closing it, as Python does at its end, flushes it


def test_a_reader_that_left_loses_no_file(tmp_path, model, capsys, monkeypatch, closed_pipe):
    record(tmp_path / 'v.mp4', range(10))
    (tmp_path / 'w.mp4').touch()
    monkeypatch.setattr(sys, 'stdout', closed_pipe)
    out = tmp_path / 'out'
    wanted = ('--format', 'json', 'csv', '--picture', '--out-dir', out)
    code, _, err = run(capsys, tmp_path, '--model', model, *wanted)
    assert code == 1 and err.startswith('error: video ') and 'ipe' not in err
    written = ['detections.csv', 'detections.json', 'v.png']
    assert sorted(path.name for path in out.iterdir()) == written


def test_a_stream_ends_with_its_reader(tmp_path, model, capsys, monkeypatch, closed_pipe):
    video = record(tmp_path / 'v.ts', range(150))
    monkeypatch.setattr(sys, 'stdout', closed_pipe)
    code, _, err = run(capsys, video, '--model', model, '--stream', '--patience', 0.2)
    assert code == 0 and 'ipe' not in err


def contents(folder):
    """Files of a folder; of ELAN's, without the date."""
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    return {name: re.sub(rb'DATE="[^"]*"', b'', content) for name, content in files.items()}


def test_joined_shards_are_one_run(tmp_path, model, capsys):
    (tmp_path / 'in').mkdir()
    for name in 'abc':
        record(tmp_path / 'in' / f'{name}.mp4', range(20))
    (tmp_path / 'in' / 'd.mp4').touch()
    command = (tmp_path / 'in', '--model', model, '--format', 'json')
    formats = ('csv', 'vtt', 'srt', 'elan', 'label-studio')
    _, _, errors = run(capsys, *command, *formats, '--out-dir', tmp_path / 'whole')
    assert '1 of 4 videos could not be read' in errors
    whole = contents(tmp_path / 'whole')
    assert len(whole) == 3 + 3 * 3 and whole['detections.csv'].count(b'\n') > 3
    out = tmp_path / 'out'
    assert run(capsys, *command, '--shard', '2/2', '--out-dir', out)[0] == 1
    assert set(contents(out / '2-of-2')) == {'part.json', 'detections.json'}
    code, _, err = run_join(capsys, out)
    assert code == 2 and 'parts 1-of-2 are missing' in err and contents(out) == {}
    assert run(capsys, *command, '--shard', '1/2', '--out-dir', out)[0] == 0
    (out / '2-of-2/b.png').write_bytes(b'a picture')
    assert run_join(capsys, out, '--format', 'json', *formats)[::2] == (1, errors)
    assert contents(out) == {**whole, 'b.png': b'a picture'}
    empty = run(capsys, *command, '--shard', '7/7', '--out-dir', tmp_path)
    assert empty[:2] == (0, 'part 7/7 has no video\n') and (tmp_path / '7-of-7/part.json').exists()


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (['in/clip.mp4', '--out-dir', 'in'], 'in/clip.mp4 would overwrite the input in/clip.mp4'),
        (['link.mp4', '--out-dir', 'in'], 'in/link.mp4 would overwrite the input link.mp4'),
        (['file:///{cwd}/in/clip.mp4', '--out-dir', 'in'], 'would overwrite the input file:'),
        (['in/clip.mp4', '--out-dir', 'in', '--shard', '1/2'], 'in/clip.mp4 would overwrite'),
        (['f', '--frame-rate', '5', '--out-dir', 'f'], 'f/f.mp4 would lie among the frames of'),
    ],
)
def test_an_input_is_not_overwritten(tmp_path, capsys, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    for folder in ('in', 'f'):
        (tmp_path / folder).mkdir()
    content = record(tmp_path / 'in/clip.mp4', range(10)).read_bytes()
    (tmp_path / 'in/link.mp4').hardlink_to('in/clip.mp4')
    (tmp_path / 'link.mp4').symlink_to('in/clip.mp4')
    (tmp_path / 'f/1.png').touch()
    arguments = [argument.format(cwd=tmp_path) for argument in arguments]
    code, out, err = run(capsys, *arguments, '--annotated-video', '--model', 'not read')
    assert code == 2 and not out and sentence in err and 'name another folder' in err
    assert (tmp_path / 'in/clip.mp4').read_bytes() == content
    assert len([*tmp_path.rglob('*')]) == 6


def test_a_part_that_is_done_again_leaves_nothing_of_before(tmp_path, model, capsys):
    video = record(tmp_path / 'v.mp4', range(10))
    mine = (tmp_path / 'out/1-of-2', tmp_path / 'out/2-of-2')
    command = (video, '--model', model, '--out-dir', tmp_path / 'out', '--shard')
    assert run(capsys, *command, '1/2', '--format', 'json', 'vtt', '--picture')[0] == 0
    assert contents(mine[0]).keys() == {'part.json', 'detections.json', 'v.vtt', 'v.png'}
    (mine[0] / 'notes.txt').touch()
    (mine[0] / 'part.json').unlink()  # as if it had been interrupted
    for part in ('1/2', '2/2'):
        assert run(capsys, *command, part)[0] == 0
    assert contents(mine[0]).keys() == {'part.json', 'notes.txt'}
    assert run_join(capsys, tmp_path / 'out')[0] == 0
    assert contents(tmp_path / 'out').keys() == {'detections.json'}


@pytest.mark.parametrize('name', ['v.mp4', 'detections.json'])
def test_a_part_removes_no_input(tmp_path, capsys, name):
    (tmp_path / '1-of-2').mkdir()
    video = record(tmp_path / '1-of-2/v.mp4', range(10)).rename(tmp_path / '1-of-2' / name)
    content = video.read_bytes()
    for number in (1, 2):  # part 2 has no video
        code, _, err = run(
            capsys, video, '--model', 'x', '--out-dir', tmp_path, '--shard', f'{number}/2'
        )
        assert video.read_bytes() == content
        if number == 1:
            assert code == 2 and f'1-of-2/{name} would overwrite the input' in err


def test_joining_overwrites_no_input(tmp_path, capsys):
    video = VideoInput(str(tmp_path / 'a.mp4'), 'a')
    (tmp_path / 'a.mp4').write_bytes(b'the recording')
    folder = parts.begin_part(tmp_path, 0, 1, [video])
    found = VideoResult(video, 1.0, 25.0, concatenate([]), ('run',))
    parts.write_part(folder, {}, [video], [found], {})
    (folder / 'a.mp4').write_bytes(b'annotated')
    code, _, err = run_join(capsys, tmp_path)
    assert code == 2 and 'a.mp4 would overwrite the input' in err
    assert (tmp_path / 'a.mp4').read_bytes() == b'the recording'
    assert not (tmp_path / 'detections.json').exists()


@pytest.mark.parametrize('end', [RuntimeError, signal.SIGTERM, signal.SIGINT])
def test_what_was_found_before_an_error_is_written(tmp_path, model, capsys, monkeypatch, end):
    (tmp_path / 'empty.mp4').touch()
    for name in ('good', 'last'):
        record(tmp_path / f'{name}.mp4', range(20))
    detect = TADInferencer.detect

    def fail_at_last(self, video, *args):
        if video.video_id == 'last' and end is RuntimeError:
            raise end
        if video.video_id == 'last':
            os.kill(os.getpid(), end)
        return detect(self, video, *args)

    monkeypatch.setattr(TADInferencer, 'detect', fail_at_last)
    out = tmp_path / 'out'
    command = (tmp_path, '--model', model, '--format', 'json', 'csv', '--out-dir', out)
    ended = pytest.raises(end) if end is RuntimeError else nullcontext()
    with ended:
        assert run_main(infer.main, [*map(str, command), '--device', 'cpu']) == 128 + end
    printed = capsys.readouterr()
    results = json.loads((out / 'detections.json').read_text())['results']
    assert list(results) == ['good'] and len(results['good']) > 0
    assert 'good.mp4 (0.8 s)' in printed.out and 'written: ' in printed.out
    assert '1 of 2 videos could not be read' in printed.err
    assert f'ended in {tmp_path / "last.mp4"}, video 3 of 3' in printed.err
    if end is not RuntimeError:
        assert printed.err.endswith(f'\nended by {end.name}\n')
    with ended:
        assert run(capsys, *command, '--shard', '1/2')[0] == 128 + end
    assert not [*out.glob('*/part.json')]


def run_join(capsys, *arguments):
    code = run_main(infer.main, ['--join', *map(str, arguments)])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_parts_that_are_no_whole(tmp_path, capsys):
    videos = [VideoInput(f'{name}.mp4', name) for name in 'abc']
    assert 'no folder of a part' in run_join(capsys, tmp_path)[2]
    for first, second in ((videos[:2], videos[:1]), (videos[:1], videos[1:])):
        for number, mine in enumerate((first, second)):
            folder = parts.begin_part(tmp_path, number, 2, mine)
            parts.write_part(folder, {}, mine, [], {video.path: '' for video in mine})
        assert 'different lists of videos' in run_join(capsys, tmp_path)[2]
    for number, top_k in ((0, None), (1, 3)):
        folder = parts.begin_part(tmp_path, number, 2, [])
        parts.write_part(folder, {'--model': 'm', '--top-k': top_k}, [], [], {})
    assert '2-of-2 was made with --top-k 3' in run_join(capsys, tmp_path)[2]
    (tmp_path / '2-of-2/part.json').write_text(
        '{"options": {}, "videos": ["b.mp4"], "results": [], "errors": 1}'
    )
    assert 'is damaged' in run_join(capsys, tmp_path)[2]
    parts.begin_part(tmp_path, 1, 2, [])
    assert 'parts 2-of-2 are missing or not complete' in run_join(capsys, tmp_path)[2]
    (tmp_path / '1-of-3').mkdir()
    assert 'runs in 2 and in 3 parts' in run_join(capsys, tmp_path)[2]
    for other in (('--top-k', 3), ('v.mp4',), ('--quiet', '--traceback')):
        assert '--format alone' in run_join(capsys, tmp_path, *other)[2]
    assert '2 and in 3 parts' in run_join(capsys, tmp_path, '--traceback')[2]


def sound_only(path):
    with av.open(str(path), 'w') as output:
        stream = output.add_stream('aac', rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), dtype=np.float32), 'fltp', 'mono')
        frame.rate = 8000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def unknown_codec(path):
    """A video whose codec no program knows."""
    content = record(path, range(10)).read_bytes()
    assert content.count(b'avc1') >= 1
    path.write_bytes(content.replace(b'avc1', b'zz99'))
    return path


def no_frames(path):
    """A file with a video stream but without a picture in it."""
    with av.open(str(path), 'w') as output:
        stream = output.add_stream('mpeg4', rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, 'yuv420p'
        output.start_encoding()
    return path


def test_broken_files_are_named_and_the_others_done(tmp_path, model, capsys):
    good = record(tmp_path / 'good.mp4', range(40))
    (tmp_path / 'empty.mp4').touch()
    (tmp_path / 'text.mp4').write_text('no video at all')
    (tmp_path / 'cut.mp4').write_bytes(good.read_bytes()[:-1500])
    sound_only(tmp_path / 'sound.mp4')
    unknown_codec(tmp_path / 'codec.mp4')
    no_frames(tmp_path / 'nothing.mkv')
    code, out, err = run(capsys, tmp_path, '--model', model)
    assert code == 1 and 'good.mp4 (1.6 s)' in out
    lines = [line for line in err.splitlines() if line.startswith('error: ')]
    assert len(lines) == 6 and '6 of 7 videos could not be read' in err
    for name in ('empty.mp4', 'text.mp4', 'cut.mp4', 'sound.mp4', 'codec.mp4', 'nothing.mkv'):
        (line,) = (line for line in lines if name in line)
        assert ';' in line  # says what to do
    assert 'no video stream' in err and 'cannot be decoded' in err
    code, _, err = run(capsys, tmp_path / 'empty.mp4', '--model', model)
    assert code == 2 and 'empty.mp4' in err


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        ([], 'name at least one video'),
        (['v.mp4'], 'name a model'),
        (['none.mp4', '--model', 'x'], 'none.mp4 does not exist'),
        (['v.mp4', '--model', 'no_such_model'], 'neither a file nor'),
        (['v.mp4', '--model', 'none.py'], 'none.py does not exist'),
        (['v.mp4', '--model', 'x', '--batch-size', '0'], '--batch-size must be at least 1'),
        (['v.mp4', '--model', 'x', '--top-k', '0'], '--top-k must be at least 1'),
        (['v.mp4', '--model', 'x', '--score-thr', 'nan'], '--score-thr must be from 0 to 1'),
        (['v.mp4', '--model', 'x', '--score-thr', '50'], '--score-thr must be from 0 to 1'),
        (['v.mp4', '--model', 'x', '--frame-rate', 'inf'], '--frame-rate must be above 0 and'),
        (['v.mp4', '--model', 'x', '--patience', '5'], '--patience must be at least 0, with'),
        (['v.mp4', '--model', 'x', '--stream', '--patience', 'nan'], '--patience must be'),
        (['-', '--model', 'x'], 'is read with --stream'),
        (['v.mp4', 'w.mp4', '--stream', '--model', 'x'], '--stream takes one video'),
        (['v.mp4', '--stream', '--model', 'x', '--out-dir', 'o'], '--stream takes one video'),
        (['v.mp4', '--stream', '--model', 'x', '--frame-rate', '5'], '--stream takes one video'),
        (['v.mp4', '--model', 'x', '--shard', '3/2'], '--shard must be i/n with i from 1 to n'),
        (['--demo', '--shard', '1/2'], 'leave out --stream or --demo'),
        (['v.mp4', '--model', 'x', '--picture', '--out-dir', 'v.mp4/out'], 'choose another place'),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    record(tmp_path / 'v.mp4', range(10))
    code, out, err = run(capsys, *arguments)
    assert code == 2 and not out
    (line,) = (line for line in err.splitlines() if line.startswith('error: '))
    assert sentence in line


def of_other_classes(folder):
    config, weights = train(tiny_config(), folder)
    content = torch.load(weights, weights_only=True)
    content['meta']['dataset_meta']['classes'][3] = 'sit'
    torch.save(content, weights)
    return config, weights


def of_features(folder):
    config = tiny_config()
    config.test_dataloader.dataset.pipeline[0] = dict(type='LoadFeatures', channels=(0, 128))
    return train(config, folder)


@pytest.mark.parametrize(
    ('make', 'sentence'),
    [
        (of_other_classes, "label 3 is 'sit' and 'set'; give the config that it was trained with"),
        (of_features, 'were extracted beforehand, not videos; name a model with a backbone'),
    ],
)
def test_models_that_do_not_fit_are_one_sentence(tmp_path, capsys, make, sentence):
    config, weights = make(tmp_path / 'work')
    video, out = record(tmp_path / 'v.mp4', range(10)), tmp_path / 'out'
    options = ['--weights', weights, '--format', 'json', '--out-dir', out]
    code, text, err = run(capsys, video, '--model', config, *options)
    assert code == 2 and not text and not [*out.glob('*')]
    (line,) = (line for line in err.splitlines() if line.startswith('error: '))
    assert sentence in line


def test_a_folder_without_permission_is_one_sentence(tmp_path, model, capsys):
    video, out = record(tmp_path / 'v.mp4', range(10)), tmp_path / 'out'
    out.mkdir(mode=0o500)
    if os.access(out, os.W_OK):
        pytest.skip('this user may write everywhere')
    code, text, err = run(capsys, video, '--model', model, '--format', 'csv', '--out-dir', out)
    assert code == 2 and not text and not [*out.iterdir()]
    (line,) = (line for line in err.splitlines() if line.startswith('error: '))
    assert str(out) in line and ('choose another' in line or 'name another' in line)


@pytest.mark.parametrize(
    ('lost', 'code', 'written'),
    [
        ('detections.json', 2, []),
        ('detections.csv', 1, ['detections.json']),
        ('v.png', 1, ['detections.json', 'detections.csv']),
        ('v.mp4', 1, ['detections.json', 'detections.csv', 'v.png']),
    ],
)
def test_a_full_disk_leaves_nothing_half_written(
    tmp_path, model, capsys, monkeypatch, lost, code, written
):
    video, out = record(tmp_path / 'v.mp4', range(40)), tmp_path / 'out'
    replace = os.replace

    def fill_up(source, target):
        if Path(target).name == lost:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, 'replace', fill_up)
    wanted = ['--format', 'json', 'csv', '--picture', '--annotated-video']
    ended, text, err = run(capsys, video, '--model', model, *wanted, '--out-dir', out)
    assert ended == code and sorted(p.name for p in out.iterdir()) == sorted(written)
    named = [line for line in text.splitlines() if line.startswith('written: ')]
    assert named == [f'written: {out / name}' for name in written]
    (line,) = (line for line in err.splitlines() if line.startswith('error: '))
    assert f'{out / lost} is as before; free some space' in line and 'Traceback' not in err


def test_a_stream_prints_detections_while_the_file_grows(tmp_path, model, capsys):
    video = record(tmp_path / 'v.ts', range(150))
    code, out, err = run(
        capsys, video, '--model', model, '--stream', '--patience', 0.2, '--score-thr', 0.5
    )
    assert code == 0 and 'at most 1.60 s of video after' in err
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) > 5
    for row in rows:
        middle = sum(row['segment']) / 2
        assert row['seen'] - middle <= 1.6 + 1e-6 or row['seen'] >= 5.9
    seen = [row['seen'] for row in rows]
    assert seen == sorted(seen) and len(set(seen)) > 3


def test_the_demo_finds_the_words_of_its_clip_without_a_network(tmp_path, capsys, monkeypatch):
    def refuse(*arguments):
        raise OSError('the demo needs no network')

    monkeypatch.setattr(socket.socket, 'connect', refuse)
    monkeypatch.chdir(ROOT)
    code, out, _ = run(capsys, '--demo', '--out-dir', tmp_path / 'detections')
    assert code == 0 and 'clip.mp4 (3.0 s)' in out
    found = json.loads((tmp_path / 'detections' / 'detections.json').read_text())['results']
    assert len(found['clip']) == infer.SHOWN
    hits = {
        word
        for word, (start, end) in DEMO_WORDS.items()
        for row in found['clip']
        if row['label'] == word and overlap(row['segment'], (start, end)) >= 0.5
    }
    assert len(hits) >= 4
    image = cv2.imread(str(tmp_path / 'detections' / 'clip.png'))
    assert image.shape[1] >= 1000 and len(np.unique(image.reshape(-1, 3), axis=0)) > 50


def overlap(one, other):
    """tIoU of two segments."""
    inter = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
    return inter / (one[1] - one[0] + other[1] - other[0] - inter)


def test_the_shipped_model_is_small_and_half():
    weights = ROOT / 'demo' / 'student.pth'
    assert weights.stat().st_size < 3_000_000
    state = torch.load(weights, weights_only=True)['state_dict']
    assert all(v.dtype == torch.float16 for v in state.values() if v.ndim > 1)
    assert not any(name.startswith(('shared_head', 'teacher')) for name in state)


@pytest.mark.parametrize(
    'arguments', [['--demo', 'v.mp4'], ['--demo', '--model', 'x'], ['--demo', '--stream']]
)
def test_the_demo_stands_alone(capsys, arguments):
    code, _, err = run(capsys, *arguments)
    assert code == 2 and '--demo brings its video and its model' in err
