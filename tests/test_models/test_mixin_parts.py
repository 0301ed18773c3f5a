"""The parts of mixing: localizers behind a neck, inputs, transforms, losses, and patches."""

import numpy as np
import pytest
import torch
from mixin_helpers import CHANNELS, STEPS, WIDTH, batch, build, config
from mmaction.datasets.transforms import GenerateLocalizationLabels
from mmaction.models.localizers import TCANet
from mmaction.structures import ActionDataSample
from mmengine.structures import InstanceData

from mmtad_decomp.datasets.transforms import LoadMotionFeature, MatchProposals
from mmtad_decomp.models.data_preprocessors import (
    FeatureDifferenceInput,
    FeatureInput,
    TADDataPreprocessor,
)
from mmtad_decomp.models.losses import ProposalMimicLoss

FILES = ('bmn_activitynet_baseline', 'tem_activitynet_baseline', 'tcanet_hacs_baseline')


@pytest.mark.parametrize('file', FILES)
def test_without_a_neck_it_is_the_localizer_itself(file):
    content = config(file).model
    content.pop('neck')
    content.data_preprocessor.modality.pop('channels', None)
    model = build(content).eval()
    raw = batch(file)
    inputs = [torch.randn(WIDTH, STEPS) for _ in range(2)]
    samples = raw['data_samples']
    masks = torch.ones(2, STEPS, dtype=torch.bool)
    torch.manual_seed(1)
    own = model(torch.stack(inputs), masks, samples, mode='loss')
    torch.manual_seed(1)
    theirs = model.head(inputs, samples, mode='loss')
    assert own.keys() == theirs.keys()
    assert all(torch.equal(own[key], theirs[key]) for key in own)
    with torch.no_grad():
        found = model(torch.stack(inputs), masks, samples, mode='predict')
        alone = [model.head([x], [s], mode='predict')[0] for x, s in zip(inputs, samples)]
    for one, other in zip(found, alone, strict=True):
        if isinstance(one, dict):
            assert one == other
        else:
            assert one[0] == other[0] and np.array_equal(one[1], other[1])


def test_refined_proposals_keep_their_scores():
    model = build(config('tcanet_hacs_baseline').model).eval().head
    outputs = []
    for stage in (model.tbr1, model.tbr2, model.tbr3):
        stage.register_forward_hook(lambda module, args, output: outputs.append(output[0]))
    sample = batch('tcanet')['data_samples'][0]
    with torch.no_grad():
        (result,) = model([torch.randn(WIDTH, STEPS)], [sample], mode='predict')
    given = sample.proposals['proposals'][:, 2]
    best = max((given * tiou).max().item() for tiou in outputs)
    scores = [proposal['score'] for proposal in result['proposal_list']]
    assert scores[0] == pytest.approx(best, rel=1e-5) and best > 0
    assert scores == sorted(scores, reverse=True)


def test_the_patch_of_tcanet_is_applied_once():
    from mmtad_decomp import compat

    before = TCANet.predict
    compat.apply()
    assert TCANet.predict is before


def test_bare_lists_are_features_and_channels_are_selected():
    clips = [torch.randn(6, 5), torch.randn(6, 3)]
    for inputs in (clips, dict(features=clips)):
        preprocessor = TADDataPreprocessor(modality=dict(type='FeatureInput', channels=(2, 5)))
        out = preprocessor(dict(inputs=inputs))
        assert out['inputs'].shape == (2, 3, 5) and out['masks'].sum(1).tolist() == [5, 3]
        assert torch.equal(out['inputs'][1, :, :3], clips[1][2:5])
        assert not out['inputs'][1, :, 3:].any()
    assert FeatureInput(channels=(2, 6))(torch.randn(1, 6, 3)).shape[1] == 4
    with pytest.raises(ValueError, match=r'6 channels.*4 to 8'):
        FeatureInput(channels=(4, 8))(torch.randn(1, 6, 3))
    with pytest.raises(ValueError, match='motion_features'):
        TADDataPreprocessor(modality=dict(type='FeatureInput', key='motion_features'))(
            dict(inputs=clips)
        )


def test_difference_of_features():
    feats = torch.randn(2, 4, 5, dtype=torch.float64)
    out = FeatureDifferenceInput(channels=(1, 3), std=2.0)(feats)
    for step in range(5):
        at = max(step, 1)
        torch.testing.assert_close(
            out[:, :, step], (feats[:, 1:3, at] - feats[:, 1:3, at - 1]) / 2
        )
    assert not FeatureDifferenceInput()(feats[:, :, :1]).any()


def packed(name='v_a', steps=4):
    return dict(
        inputs=torch.randn(3, steps), data_samples=ActionDataSample(metainfo=dict(video_name=name))
    )


def test_motion_features_are_loaded_beside(tmp_path):
    motion = np.random.default_rng(0).normal(size=(4, 2)).round(3)
    np.savetxt(tmp_path / 'v_a.csv', motion, delimiter=',', header='f0,f1', comments='')
    before = packed()
    features = before['inputs']
    out = LoadMotionFeature(str(tmp_path)).transform(before)
    assert out['inputs']['features'] is features
    assert out['inputs']['motion_features'].dtype == torch.float32
    np.testing.assert_allclose(out['inputs']['motion_features'].numpy(), motion.T, rtol=1e-6)
    with pytest.raises(FileNotFoundError, match=r'v_b\.csv.*LoadMotionFeature\.folder'):
        LoadMotionFeature(str(tmp_path)).transform(packed('v_b'))
    with pytest.raises(ValueError, match=r'4 steps.*5'):
        LoadMotionFeature(str(tmp_path)).transform(packed(steps=5))
    for wrong in (out, dict(raw_feature=motion)):
        with pytest.raises(ValueError, match='after PackLocalizationInputs'):
            LoadMotionFeature(str(tmp_path)).transform(wrong)


def tiou(a, b):
    inter = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    return inter / (a[1] - a[0] + b[1] - b[0] - inter)


def test_proposals_get_the_ground_truth_they_overlap_most():
    rng = np.random.default_rng(3)
    segments = np.sort(rng.uniform(0, 1, (12, 2)), axis=1)
    proposals = np.column_stack([segments, rng.permutation(12) / 12]).tolist()
    gt = np.array([[0.1, 0.3], [0.4, 0.55], [0.6, 0.95]])
    out = MatchProposals(max_proposals=9).transform(dict(proposals=proposals, gt_bbox=gt))
    kept = sorted(proposals, key=lambda p: -p[2])[:9]
    np.testing.assert_allclose(out['proposals'], kept, rtol=1e-6)
    expected = [max(gt.tolist(), key=lambda g: tiou(p, g)) for p in kept]
    np.testing.assert_allclose(out['gt_bbox'], expected)
    with pytest.raises(ValueError, match="'v_x' has no `proposals`"):
        MatchProposals().transform(dict(video_name='v_x', gt_bbox=gt))
    with pytest.raises(ValueError, match="'v_y' has no instance"):
        empty = GenerateLocalizationLabels().transform(
            dict(duration_frame=9, duration_second=3.0, feature_frame=9, annotations=[])
        )
        MatchProposals().transform(dict(empty, video_name='v_y', proposals=proposals))


def test_proposal_mimic_loss_is_its_formula():
    gen = torch.Generator().manual_seed(0)
    own, other = torch.rand(2, 5, dtype=torch.float64, generator=gen)
    segments = torch.rand(2, 5, 2, dtype=torch.float64, generator=gen).sort(dim=2).values
    own.requires_grad_(), other.requires_grad_()
    loss = ProposalMimicLoss(iou_weight=2.0, segment_weight=3.0)
    value = loss((own, segments[0], 0, 0), (other, segments[1], 0, 0))
    smooth, weighted = 0.0, 0.0
    for i in range(5):
        smooth += 0.5 * (own[i] - other[i]).item() ** 2 / 5
        gap = (segments[0, i] - segments[1, i]).abs().mean() / (
            segments[1, i, 1] - segments[1, i, 0]
        )
        weighted += (other[i] / other.sum() * gap).item()
    assert value.item() == pytest.approx(2 * smooth + 3 * weighted)
    value.backward()
    assert own.grad.any() and other.grad is None
    with pytest.raises(TypeError, match='student gives Tensor'):
        loss(own, (other, segments[1]))
    with pytest.raises(ValueError, match='5 proposals, the teacher 4'):
        loss((own, segments[0]), (other[:4], segments[1, :4]))


def test_channels_that_the_neck_does_not_read_are_named():
    model = build(config('bmn_activitynet_baseline').model)
    masks = torch.ones(1, STEPS, dtype=torch.bool)
    with pytest.raises(ValueError, match=r'7 channels.*`neck.in_channels` is 6'):
        model(torch.randn(1, CHANNELS + 1, STEPS), masks, [], mode='tensor')


def test_instances_of_the_batch_are_not_changed():
    raw = batch('tcanet')
    before = InstanceData(gt_bbox=raw['data_samples'][0].gt_instances['gt_bbox'].clone())
    model = build(config('tcanet_hacs_baseline').model)
    model(**model.data_preprocessor(raw, True), mode='loss')
    assert torch.equal(raw['data_samples'][0].gt_instances['gt_bbox'], before['gt_bbox'])
