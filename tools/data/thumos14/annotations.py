"""Reading THUMOS'14 annotations: two JSON layouts and the official text folder."""

from __future__ import annotations

from pathlib import Path

from tools.data.common import read_database
from tools.data.common.preparing import VideoRecord

AMBIGUOUS = 'Ambiguous'
CLASSES = (
    'BaseballPitch',
    'BasketballDunk',
    'Billiards',
    'CleanAndJerk',
    'CliffDiving',
    'CricketBowling',
    'CricketShot',
    'Diving',
    'FrisbeeCatch',
    'GolfSwing',
    'HammerThrow',
    'HighJump',
    'JavelinThrow',
    'LongJump',
    'PoleVault',
    'Shotput',
    'SoccerPenalty',
    'TennisSwing',
    'ThrowDiscus',
    'VolleyballSpiking',
)

# Test videos that the customary censuses leave out: 1292 has ambiguous segments only, most of
# 270's segments lie past its end, and some systems leave out 1496 too.
EXCLUDED = {
    213: (),
    212: ('video_test_0001292',),
    211: ('video_test_0001292', 'video_test_0000270'),
    210: ('video_test_0001292', 'video_test_0000270', 'video_test_0001496'),
}
_TEXT_SUBSETS = {'val': 'training', 'test': 'validation'}
_ID_SUBSETS = {'video_validation': 'training', 'video_test': 'validation'}


def _check_label(label: str, where: str) -> None:
    if label not in CLASSES:
        raise ValueError(f'{where}: label "{label}" is not a class of THUMOS\'14')


def _subset_of(video_id: str, where: str) -> str:
    """Subset by the id: of files, some call the official validation videos "training", others
    (ActionFormer's) "Validation".
    """
    subset = _ID_SUBSETS.get(video_id.rpartition('_')[0])
    if subset is None:
        raise ValueError(
            f"{where}: THUMOS'14 calls its videos video_validation_... and video_test_...; use "
            'annotations with these ids'
        )
    return subset


def _read_json_layout(path: Path) -> dict[str, VideoRecord]:
    database = read_database(path, ('duration', 'annotations'))
    records = {}
    for video_id, video in database.items():
        where = f'{path}: video "{video_id}"'
        items = [item for item in video['annotations'] if item['label'] != AMBIGUOUS]
        for item in items:
            _check_label(item['label'], where)
        frames, duration = video.get('frame'), float(video['duration'])
        fps = video.get('fps') or (round(frames / duration, 3) if frames else None)
        records[video_id] = VideoRecord(_subset_of(video_id, where), duration, fps, frames, items)
    return records


def _read_text_folder(folder: Path) -> dict[str, VideoRecord]:
    files = [path for split in _TEXT_SUBSETS for path in sorted(folder.glob(f'*_{split}.txt'))]
    if not files:
        raise FileNotFoundError(f'{folder} holds no {{Class}}_val.txt or {{Class}}_test.txt')
    records: dict[str, VideoRecord] = {}
    for path in files:
        label, split = path.stem.rsplit('_', 1)
        if label != AMBIGUOUS:
            _check_label(label, str(path))
        for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), start=1):
            if not line.strip():
                continue
            try:
                video_id, start, end = line.split()
                segment = [float(start), float(end)]
            except ValueError as error:
                raise ValueError(
                    f'{path}, line {number}: needs "video start end", got {line!r}'
                ) from error
            record = records.setdefault(video_id, VideoRecord(_TEXT_SUBSETS[split]))
            if label != AMBIGUOUS:
                record.annotations.append({'segment': segment, 'label': label})
    for record in records.values():
        record.annotations.sort(key=lambda item: item['segment'])
    return dict(sorted(records.items()))


def read_thumos(source: Path, census: int) -> dict[str, VideoRecord]:
    """Read annotations and keep the test videos of a census.

    Args:
        source: A JSON file (``database`` with duration, annotations in seconds), or the
            folder with the official ``{Class}_val.txt`` and ``{Class}_test.txt``.
        census: Number of test videos: 213, 212, 211 or 210.

    Returns:
        Videos by id; the official validation videos are ``training``, the test videos
        ``validation``. Ambiguous segments are dropped.

    Raises:
        ValueError: If the source is malformed, or lacks videos of the census.
    """
    records = _read_text_folder(source) if source.is_dir() else _read_json_layout(source)
    excluded = EXCLUDED[census]
    absent = [v for v in EXCLUDED[211] if v not in excluded and v not in records]
    if absent:
        raise ValueError(
            f'{source} does not hold {absent}, which belong to the census of {census} test '
            'videos; use other annotations or another --census'
        )
    return {key: record for key, record in records.items() if key not in excluded}
