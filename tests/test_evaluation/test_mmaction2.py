"""mAP against MMAction2's ``ActivityNetLocalization``."""

import json

import numpy as np
import pytest

import mmtad_decomp  # noqa: F401  (patches what NumPy 2 breaks in MMAction2)
from mmtad_decomp.annotations import load_annotations
from mmtad_decomp.evaluation import ground_truth_table, prediction_table, read_submission
from mmtad_decomp.evaluation.functional import average_precision


def write_problem(folder, seed):
    """Annotations as both read them, and a submission; every class has ground truth."""
    rng = np.random.default_rng(seed)
    classes = [f'class {i}' for i in range(5)]
    database, results = {}, {}
    for v in range(20):
        start = rng.uniform(0, 80, 4)
        segments = np.stack([start, start + rng.uniform(1, 20, 4)], axis=1)
        labels = rng.permutation(classes)[[0, 1, 0, 1]]
        annotations = [dict(segment=s.tolist(), label=n) for s, n in zip(segments, labels)]
        database[f'v_{v}'] = dict(duration=100.0, subset='validation', annotations=annotations)
        chosen = rng.integers(0, 4, 40)
        moved = np.sort(segments[chosen] + rng.normal(0, 2, (40, 2)), axis=1).tolist()
        names = np.where(rng.uniform(size=40) < 0.8, labels[chosen], rng.choice(classes, 40))
        results[str(v)] = [
            dict(segment=s, score=score, label=name)
            for s, score, name in zip(moved, rng.uniform(size=40).tolist(), names.tolist())
        ]
    files = [folder / f'{name}.json' for name in ('theirs', 'ours', 'submission')]
    own = {name[2:]: video for name, video in database.items()}
    for file, content in zip(
        files, (database, dict(database=own, classes=classes), dict(results=results))
    ):
        file.write_text(json.dumps(content))
    return files


@pytest.mark.parametrize('seed', range(3))
def test_equals_activitynet_localization(seed, tmp_path):
    module = pytest.importorskip('mmaction.evaluation', exc_type=ImportError)
    theirs, ours, submission = write_problem(tmp_path, seed)
    peer = module.ActivityNetLocalization(str(theirs), str(submission))
    per_tiou, average = peer.evaluate()
    annotations = load_annotations(ours)
    found = read_submission(submission, annotations.classes).videos
    ap = average_precision(
        ground_truth_table(annotations),
        prediction_table(annotations, found),
        peer.tiou_thresholds,
        len(annotations.classes),
    )
    columns = [peer.activity_index[name] for name in annotations.classes]
    np.testing.assert_allclose(ap, peer.ap[:, columns], rtol=0, atol=1e-9)
    np.testing.assert_allclose(ap.mean(), average, rtol=0, atol=1e-9)
    assert 0.1 < average < 0.9 and len(per_tiou) == 10
