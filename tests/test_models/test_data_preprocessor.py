"""Padding, masks and what the input modules make of a batch."""

import pytest
import torch
from mmaction.registry import MODELS, TRANSFORMS
from mmengine.structures import InstanceData

import mmtad_decomp
from mmtad_decomp.models.data_preprocessors import TADDataPreprocessor
from mmtad_decomp.structures import TADDataSample

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def clip(steps: int, height: int = 6, width: int = 8) -> torch.Tensor:
    return torch.randint(0, 256, (steps, 3, height, width), dtype=torch.uint8)


def build(modality: str, **settings) -> TADDataPreprocessor:
    config, pad_to = dict(type=modality, **settings), settings.pop('pad_to', None)
    config.pop('pad_to', None)
    return MODELS.build(dict(type='TADDataPreprocessor', modality=config, pad_to=pad_to))


def test_rgb_is_normalised_by_channel():
    clips = [clip(5), clip(5)]
    batch = build('RGBInput')(dict(inputs=dict(frames=clips), data_samples=['a', 'b']))
    assert batch['inputs'].dtype == torch.float32 and batch['inputs'].shape == (2, 5, 3, 6, 8)
    for n, frames in enumerate(clips):
        for c in range(3):
            wanted = (frames[:, c].double() - MEAN[c]) / STD[c]
            torch.testing.assert_close(
                batch['inputs'][n, :, c].double(), wanted, rtol=0, atol=1e-5
            )
    assert batch['masks'].all() and batch['masks'].dtype == torch.bool
    assert batch['data_samples'] == ['a', 'b']
    other = build('RGBInput', mean=(127.5,) * 3, std=(127.5,) * 3)
    got = other(dict(inputs=dict(frames=clips)))['inputs']
    torch.testing.assert_close(got[0], clips[0].float() / 127.5 - 1)


def test_temporal_gradient_against_plain_loops():
    frames = clip(7)
    got = build('TemporalGradientInput', std=16.0)(dict(inputs=dict(frames=[frames])))['inputs'][0]
    for t in range(7):
        now, before = (t, t - 1) if t > 0 else (1, 0)
        wanted = (frames[now].double() - frames[before].double()) / 16
        torch.testing.assert_close(got[t].double(), wanted, rtol=0, atol=1e-6)
    single = build('TemporalGradientInput')(dict(inputs=dict(frames=[clip(1)])))['inputs']
    assert single.shape == (1, 1, 3, 6, 8) and not single.any()


def test_both_modalities_see_the_same_augmented_frames():
    assert mmtad_decomp.__version__
    results = dict(video_id='v', frames=clip(6, 20, 24).permute(0, 2, 3, 1).numpy())
    for step in (
        dict(type='RandomRotation', prob=1),
        dict(type='RandomSpatialCrop', size=16),
        dict(type='PhotometricDistortion', prob=1),
        dict(type='RandomHorizontalFlip', prob=1),
    ):
        results = TRANSFORMS.build(step)(results)
    frames = torch.from_numpy(results['frames'].transpose(0, 3, 1, 2).copy())
    data = dict(inputs=dict(frames=[frames]))
    rgb = build('RGBInput')(data)['inputs'][0]
    gradient = build('TemporalGradientInput')(data)['inputs'][0]
    pixels = rgb * torch.tensor(STD)[:, None, None]
    torch.testing.assert_close(gradient[1:] * 20, pixels[1:] - pixels[:-1], rtol=0, atol=1e-3)


def test_clips_of_different_lengths():
    clips = [clip(3), clip(7), clip(1)]
    batch = build('RGBInput')(dict(inputs=dict(frames=clips)))
    assert batch['masks'].sum(1).tolist() == [3, 7, 1]
    assert batch['masks'][0].tolist() == [True] * 3 + [False] * 4
    for frames, row in zip(clips, batch['inputs']):
        repeated = torch.cat([frames, frames[-1:].expand(7 - len(frames), -1, -1, -1)])
        alone = build('RGBInput')(dict(inputs=dict(frames=[repeated])))['inputs'][0]
        assert torch.equal(row, alone), 'frames repeat the last one'
    gradient = build('TemporalGradientInput')(dict(inputs=dict(frames=clips)))['inputs']
    assert not gradient[0, 3:].any(), 'so that no motion is seen in the padding'


def test_features_are_padded_by_zeros():
    features = [torch.randn(4, 3), torch.randn(4, 5)]
    batch = build('FeatureInput', pad_to=8)(dict(inputs=dict(features=features)))
    assert batch['inputs'].shape == (2, 4, 8)
    for row, mask, sequence in zip(batch['inputs'], batch['masks'], features):
        steps = sequence.shape[1]
        assert torch.equal(row[:, :steps], sequence) and not row[:, steps:].any()
        assert mask.tolist() == [True] * steps + [False] * (8 - steps)
    nothing = build('FeatureInput')(dict(inputs=dict(features=[torch.randn(4, 0)])))
    assert nothing['inputs'].tolist() == [[[0.0]] * 4] and nothing['masks'].tolist() == [[False]]


def test_differences_of_features_are_zero_in_the_padding():
    """The first padded step would hold the last feature otherwise, next to a valid step."""
    features = [torch.randn(4, 3), torch.randn(4, 5), torch.randn(4, 1), torch.randn(4, 0)]
    inputs = build('FeatureDifferenceInput')(dict(inputs=dict(features=features)))['inputs']
    for row, sequence in zip(inputs, features):
        steps = sequence.shape[1]
        if steps:
            alone = build('FeatureDifferenceInput')(dict(inputs=dict(features=[sequence])))
            assert torch.equal(row[:, :steps], alone['inputs'][0])
        assert not row[:, steps:].any()


@pytest.mark.parametrize(('pad_to', 'length'), [(None, 5), (3, 5), (9, 9)])
def test_pad_to(pad_to, length):
    batch = build('RGBInput', pad_to=pad_to)(dict(inputs=dict(frames=[clip(5), clip(2)])))
    assert batch['inputs'].shape[1] == batch['masks'].shape[1] == length


def test_inputs_stay_uint8_and_unchanged():
    frames = clip(4)
    before = frames.clone()
    build('RGBInput', pad_to=6)(dict(inputs=dict(frames=[frames])))
    assert frames.dtype == torch.uint8 and torch.equal(frames, before)


def test_everything_is_made_on_the_device():
    """The meta device stands in for an accelerator."""
    module = build('RGBInput', pad_to=6)
    module.to('meta')
    assert module.device == torch.device('meta') and module.modality.mean.is_meta
    batch = build('TemporalGradientInput')(dict(inputs=dict(frames=[clip(4)])))
    assert {batch[key].device.type for key in ('inputs', 'masks')} == {'cpu'}
    if torch.cuda.is_available():
        batch = build('RGBInput').cuda()(dict(inputs=dict(frames=[clip(4), clip(2)])))
        assert batch['inputs'].is_cuda and batch['masks'].is_cuda


def test_missing_modality():
    with pytest.raises(ValueError, match=r'needs "features", .* loads .*frames.*; change'):
        build('FeatureInput')(dict(inputs=dict(frames=[clip(4)])))


def test_frames_of_different_sizes():
    with pytest.raises(ValueError, match=r'clip 1 .*\(2, 3, 6, 10\).* crop frames to one size'):
        build('RGBInput')(dict(inputs=dict(frames=[clip(4), clip(2, width=10)])))
    with pytest.raises(ValueError, match=r'clip 1 .* has shape \(5, 3\)'):
        features = [torch.zeros(4, 3), torch.zeros(5, 3)]
        build('FeatureInput')(dict(inputs=dict(features=features)))


def test_the_key_of_the_config_is_in_no_checkpoint():
    assert not build('RGBInput').state_dict(), 'mean and std come from the config'


def test_compiles_once_for_all_batches():
    from torch._dynamo.testing import CompileCounterWithBackend

    counter = CompileCounterWithBackend('aot_eager')
    preprocessor = build('RGBInput', pad_to=6)
    compiled = torch.compile(preprocessor.forward, backend=counter)
    for batch in range(3):
        clips = [clip(6), clip(4)]
        samples = [TADDataSample(metainfo=dict(window=(batch, batch + 6))) for _ in clips]
        data = dict(inputs=dict(frames=clips), data_samples=samples)
        found, wanted = compiled(data), preprocessor(data)
        assert torch.equal(found['inputs'], wanted['inputs'])
        assert torch.equal(found['masks'], wanted['masks'])
        assert found['data_samples'][1].window == (batch, batch + 6)
    assert counter.frame_count == 1


def test_compiled_graphs_are_not_cut_at_annotations():
    sample = TADDataSample()
    sample.gt_instances = InstanceData(segments=torch.rand(3, 2))
    lengths = torch.compile(
        lambda sample: sample.gt_instances.segments.diff(), backend='eager', fullgraph=True
    )
    assert torch.equal(lengths(sample), sample.gt_instances.segments.diff())
