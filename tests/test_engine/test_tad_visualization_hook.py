"""The hook draws the same few videos at every validation, ground truth and detections."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from mmtad_decomp.engine.hooks import TADVisualizationHook
from mmtad_decomp.evaluation.metrics import TADMetric
from mmtad_decomp.structures import TADDataSample, TimeGrid


def write_annotations(path, count):
    database = {
        f'v{i}': dict(
            subset='validation',
            duration=10.0,
            fps=10,
            annotations=[dict(segment=[1.0, 2.0 + i], label='run')] if i else [],
        )
        for i in range(count)
    }
    path.write_text(json.dumps(dict(version='t', classes=['run'], database=database)))
    return str(path)


def window(video, start):
    sample = TADDataSample(
        metainfo=dict(
            video_id=video, window=(start, start + 50), time_grid=TimeGrid(10, start=start)
        )
    )
    sample.pred_instances = InstanceData(
        segments=torch.tensor([[start / 10 + 1.0, start / 10 + 2.0]]),
        scores=torch.tensor([0.9]),
        labels=torch.tensor([0]),
    )
    return sample


class Drawn(list):
    def add_datasample(self, name, sample, score_thr, step):
        self.append((name, sample, score_thr, step))


def validate(hook, metric, iteration):
    drawn = Drawn()
    runner = SimpleNamespace(
        val_loop=SimpleNamespace(evaluator=SimpleNamespace(metrics=[object(), metric])),
        visualizer=drawn,
        iter=iteration,
    )
    hook.before_val_epoch(runner)
    for i in range(8):
        batch = [window(f'v{i}', start) for start in (0, 50)]
        hook.after_val_iter(runner, i, None, batch)
    hook.after_val_epoch(runner, {})
    return drawn


def test_chosen_videos_are_drawn_merged_with_ground_truth(tmp_path):
    metric = TADMetric(write_annotations(tmp_path / 'a.json', 8))
    hook = TADVisualizationHook(num_videos=2, interval=2, score_thr=0.3)
    assert validate(hook, metric, 10) == []
    drawn = validate(hook, metric, 20)
    assert [name for name, *_ in drawn] == ['val_v2', 'val_v6']  # v0 has nothing to show
    _, sample, score_thr, step = drawn[0]
    assert (score_thr, step, sample.duration) == (0.3, 20, 10.0)
    found = np.sort(sample.pred_instances.segments.numpy()[:, 0])
    np.testing.assert_allclose(found, [1.0, 6.0])
    np.testing.assert_array_equal(sample.gt_instances.segments, [[1.0, 4.0]])


def test_more_videos_than_there_are_and_no_metric(tmp_path):
    metric = TADMetric(write_annotations(tmp_path / 'a.json', 3))
    assert len(validate(TADVisualizationHook(num_videos=9), metric, 1)) == 2
    assert validate(TADVisualizationHook(), object(), 1) == []
    with pytest.raises(ValueError, match='at least 1'):
        TADVisualizationHook(num_videos=0)
