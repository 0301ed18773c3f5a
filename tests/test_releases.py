"""Values of the official releases that configs follow; a default that drifts fails here."""

import pytest
from config_helpers import CONFIGS, load

FOLDERS = ('baseline', 'teacher', 'conventional', 'decomp')


def files(head, data, folders=FOLDERS):
    """Configs of a head on a data set, below ``configs/``."""
    found = [
        str(path.relative_to(CONFIGS))
        for folder in folders
        for path in (CONFIGS / folder).rglob(f'{head}_*_{data}*.py')
    ]
    assert found
    return sorted(found)


@pytest.mark.parametrize('head', ['actionformer', 'afsd', 'gtad', 'tadtr', 'tags'])
def test_no_multi_class_suppression_votes(head):
    """ActionFormer votes in its class-agnostic branch only, the others never."""
    for path in files(head, 'thumos'):
        config = load(path)
        for evaluator in (config.val_evaluator, config.test_evaluator):
            assert evaluator.post_processor.get('voting_iou') is None, path


def test_actionformer_post_processing():
    for path in files('actionformer', 'thumos'):
        config = load(path)
        wanted = dict(
            type='PostProcessor',
            score_thr=0.001,
            min_length=0.05,
            nms=dict(type='soft_nms', sigma=0.5, min_score=0.001),
            max_per_video=200,
        )
        assert config.val_evaluator.post_processor == wanted, path
        assert config.test_evaluator.post_processor == wanted, path
    for path in files('actionformer', 'activitynet'):
        detections = load(path).test_evaluator[0].post_processor
        assert detections.nms == dict(type='soft_nms', sigma=0.75, min_score=0.001)
        # class-agnostic with an external classifier, as released, or with classes of its own
        assert detections.get('voting_iou') == (None if 'classes' in path else 0.9), path


def test_gtad_on_thumos():
    for path in files('gtad', 'thumos', ('baseline', 'teacher')):
        head = load(path).model.head
        assert head.loss_cls == dict(extra_count=10), path
        assert head.max_duration == 107, path
