# Follows AFSD's release for THUMOS'14 (head, losses, post-processing) and E2E-TAD's (frames, augmentation,
# schedule). Differences: TSM18 for I3D, windows of 25.6 s at 96 pixels.
_base_ = [
    '../_base_/models/afsd_tsm18.py',
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
    head=dict(num_classes=_base_.num_classes),
)

# AFSD's threshold and soft-NMS. Its 5,000 detections per class are more than soft-NMS leaves.
val_evaluator = dict(post_processor=dict(score_thr=0.01, max_per_video=None))
test_evaluator = val_evaluator
