"""TADDetector and DecomposedDetector: losses, predictions, and where gradients go."""

import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from tiny_detectors import build, detector_config, losses_of, raw_batch, reaches

FUSION = dict(type='LocalAttentiveFusion')


def decomposed(**kwargs):
    return build(
        dict(type='DecomposedDetector', detector=detector_config(), fusion=FUSION, **kwargs)
    )


def predict(model, batch):
    with torch.no_grad():
        return model.eval().val_step(batch)


def test_ground_truth_reaches_the_head_in_steps():
    model = build(detector_config())
    batch = model.data_preprocessor(raw_batch())
    targets = model.targets(batch['data_samples'])
    # Step g lies at (g + 0.5) / 10 seconds.
    torch.testing.assert_close(targets[0].segments, torch.tensor([[0.5, 3.0]]))
    assert targets[1].labels.tolist() == [1]
    # A backbone may say where its steps lie: here at (2 g + 1.25 + 0.5) / 10 seconds.
    model.feature_stride, model.feature_offset = 2, 1.25
    moved = model.targets(batch['data_samples'])[0].segments
    torch.testing.assert_close(moved, (torch.tensor([[0.5, 3.0]]) - 1.25) / 2)


def test_predictions_are_in_seconds_of_the_video():
    model = build(detector_config())
    batch = raw_batch()
    late = raw_batch()
    for sample in late['data_samples']:
        grid = sample.time_grid
        sample.set_metainfo(dict(time_grid=type(grid)(grid.fps, start=100)))
    early, late = predict(model, batch), predict(model, late)
    assert len(early) == 2
    for first, second in zip(early, late):
        assert len(first.pred_instances.segments)
        shift = second.pred_instances.segments - first.pred_instances.segments
        torch.testing.assert_close(shift, torch.full_like(shift, 10.0))


def test_a_detector_of_features_needs_no_backbone():
    config = detector_config()
    config.update(backbone=None, neck=None)
    model = build(config)
    feats, masks = torch.randn(2, 16, 9), torch.ones(2, 9, dtype=torch.bool)
    assert model(feats, masks).cls_logits[0].shape == (2, 3, 9)


@pytest.mark.parametrize('decompose', [False, True])
def test_features_of_another_width_are_named(decompose):
    config = detector_config() | dict(backbone=None)
    if decompose:
        config = dict(type='DecomposedDetector', detector=config, fusion=FUSION)
    words = r'the features have 6 channels, `neck\.in_channels` is 8: .*`data_prep.*\.channels`'
    with pytest.raises(ValueError, match=words):
        build(config)(torch.randn(1, 6, 16), torch.ones(1, 16, dtype=torch.bool))


def test_unknown_mode():
    with pytest.raises(ValueError, match="'loss', 'predict' or 'tensor', got 'train'"):
        build(detector_config())(torch.zeros(1, 2, 3, 8, 8), torch.ones(1, 2).bool(), mode='train')
    with pytest.raises(ValueError, match="mode 'loss' needs data_samples, one for each window"):
        build(detector_config())(torch.zeros(1, 2, 3, 8, 8), torch.ones(1, 2).bool(), mode='loss')


@pytest.mark.parametrize('make', [lambda: build(detector_config()), decomposed])
def test_padding_of_the_batch_changes_no_prediction(make):
    """Frames are padded by their last one; nothing else of the padding may show."""
    model = make()
    short = predict(model, raw_batch((6, 8)))[0].pred_instances
    longer = predict(model, raw_batch((6, 12)))[0].pred_instances
    assert len(short.scores)
    torch.testing.assert_close(longer.scores, short.scores, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(longer.segments, short.segments, rtol=1e-4, atol=1e-6)


def test_joint_and_appearance_losses_go_their_own_ways():
    model = decomposed(appearance_weight=2.0)
    before = model.head.loss_norm.item()
    losses = losses_of(model, raw_batch())
    # Each head divides by a moving average of its own, which has taken one step.
    assert model.shared_head.loss_norm == model.head.loss_norm != before
    assert set(losses) == {'joint_loss_cls', 'joint_loss_reg', 'app_loss_cls', 'app_loss_reg'}
    app = losses['app_loss_cls'] + losses['app_loss_reg']
    joint = losses['joint_loss_cls'] + losses['joint_loss_reg']
    assert reaches(app, model.shared_head) and reaches(joint, model.head)
    assert not reaches(app, model.head) and not reaches(joint, model.shared_head)
    assert not reaches(app, model.fusion) and reaches(joint, model.fusion)
    assert reaches(app, model.neck.appearance) and not reaches(app, model.neck.motion)
    assert reaches(joint, model.neck.appearance) and reaches(joint, model.neck.motion)
    assert reaches(app, model.backbone) and reaches(joint, model.backbone)


def test_appearance_weight_scales_its_losses_only():
    for name in ('app_loss_cls', 'joint_loss_cls'):
        one, two = (
            losses_of(decomposed(appearance_weight=w), raw_batch())[name].item() for w in (1, 2)
        )
        assert two == pytest.approx(one * (2 if name.startswith('app') else 1), rel=1e-5)


def test_branches_and_heads_have_weights_of_their_own():
    model = decomposed()
    assert not torch.equal(
        model.neck.appearance.conv.conv.weight, model.neck.motion.conv.conv.weight
    )
    shared = {id(p) for p in model.shared_head.parameters()}
    assert not shared & {id(p) for p in model.head.parameters()}


def test_dropped_motion_reaches_no_fusion_in_training():
    with pytest.raises(ValueError, match=r'motion_drop_rate must be in \[0, 1\)'):
        decomposed(motion_drop_rate=1.0)
    model = decomposed(motion_drop_rate=0.25)
    seen = []
    model.fusion.register_forward_hook(lambda module, inputs, output: seen.append(inputs))
    torch.manual_seed(0)
    losses_of(model, raw_batch((4,) * 100))
    appearance, motion, _ = seen[-1]
    dropped = (motion == 0).all(dim=2).all(dim=1)  # sample by sample
    assert 0.1 < dropped.float().mean() < 0.4
    assert (appearance != 0).any(dim=2).any(dim=1).all()
    predict(model, raw_batch())
    assert (seen[-1][1] != 0).any(dim=2).any(dim=1).all()


@torch.no_grad()
def test_testing_fuses_the_branches_as_training_does():
    model = decomposed(motion_drop_rate=0.9).eval()
    batch = model.data_preprocessor(raw_batch())
    joint = model.branches(batch['inputs'], batch['masks']).joint
    for trained, tested in zip(joint, model.detect(batch['inputs'], batch['masks'])):
        assert all(map(torch.equal, trained, tested))


def test_testing_runs_the_joint_head_alone():
    model = decomposed()
    expected = predict(model, raw_batch())[0].pred_instances
    model.shared_head = None
    actual = predict(model, raw_batch())[0].pred_instances
    assert torch.equal(actual.segments, expected.segments)
    assert torch.equal(actual.scores, expected.scores)


def test_a_published_model_cannot_be_trained():
    with pytest.raises(RuntimeError, match='shared_head=True'):
        losses_of(decomposed(shared_head=False), raw_batch())


def test_a_projection_is_convolution_norm_and_relu():
    torch.manual_seed(0)
    project = MODELS.build(dict(type='TemporalProjection', in_channels=6, out_channels=4))
    for parameter in project.parameters():
        torch.nn.init.normal_(parameter)
    feats, masks = torch.randn(2, 6, 5), torch.arange(5) < torch.tensor([[5], [3]])
    conv, norm = project.conv.conv, project.norm
    expected = F.conv1d(feats, conv.weight, conv.bias, padding=1).transpose(1, 2)
    expected = F.layer_norm(expected, (4,), norm.weight, norm.bias).relu().transpose(1, 2)
    torch.testing.assert_close(project(feats, masks), expected * masks[:, None])


def test_a_detector_without_neck_gets_a_projection_per_branch():
    config = detector_config()
    config.update(neck=None, backbone=None)
    model = build(dict(type='DecomposedDetector', detector=config, fusion=FUSION))
    branches = model.neck(torch.randn(2, 16, 5), torch.ones(2, 5, dtype=torch.bool))
    assert branches.appearance.shape == branches.motion.shape == (2, 16, 5)


def test_the_width_must_be_known():
    config = detector_config()
    del config['head']['in_channels']
    with pytest.raises(ValueError, match=r'detector\.head.*in_channels'):
        build(dict(type='DecomposedDetector', detector=config, fusion=FUSION))


def test_the_config_is_left_as_it_was():
    config = dict(type='DecomposedDetector', detector=detector_config(), fusion=FUSION)
    MODELS.build(config)
    assert config['detector'] == detector_config() and config['fusion'] == FUSION
