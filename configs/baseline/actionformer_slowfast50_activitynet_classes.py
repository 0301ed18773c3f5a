# Follows ActionFormer's release for ActivityNet-1.3 (head, weight decay, averaged weights) and
# E2E-TAD's (augmentation, backbone, schedule). Differences: trained end to end on 384 frames of each
# video, not on features; a neck before the head; softplus offsets, not ReLU; no external classifier,
# so suppression is per class, and there is no voting.
_base_ = [
    '../_base_/models/actionformer_slowfast50_activitynet.py',
    '../_base_/datasets/activitynet13_frames.py',
    '../_base_/schedules/actionformer_16e.py',
    '../_base_/averaged_runtime.py',
]

window = 384
model = dict(
    data_preprocessor=dict(pad_to=window),
    backbone=_base_.fine_tuned,
    head=dict(num_classes=_base_.num_classes),
)
train_dataloader = val_dataloader = test_dataloader = dict(dataset=dict(num_samples=window))
val_evaluator = test_evaluator = [_base_.detections, _base_.proposals]
