# Follows TAGS's release, which is for ActivityNet alone (thresholds of masks, weights of their losses), and
# E2E-TAD's for THUMOS'14 (frames, augmentation, backbone, schedule). Differences: independent
# classes; masks relative to their snippet; losses of boundaries and consistency by formulas of our
# own; no candidates from class scores alone. docs/en/user_guides/tags.md has the full list.
_base_ = [
    '../_base_/models/tags_tsm18.py',
    '../_base_/datasets/thumos14_frames.py',
    '../_base_/schedules/e2e_16e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(pad_to=_base_.window),
    backbone=dict(
        freeze_norm=True,
        backbone=dict(pretrained2d=True, pretrained=_base_.imagenet_resnet18),
    ),
    head=dict(num_classes=_base_.num_classes, max_steps=_base_.window),
)
