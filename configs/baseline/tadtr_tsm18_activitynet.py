# Follows E2E-TAD's README for ActivityNet-1.3 (96 frames of a video for TSM, and their size). Its code
# has THUMOS'14 only, from which the head's size and losses are. We chose no suppression and the two
# best classes of a video. Differences: TSM18 in place of TSM50, a neck before the head.
_base_ = [
    '../_base_/models/tadtr_tsm18.py',
    '../_base_/datasets/activitynet13_tadtr.py',
    '../_base_/schedules/e2e_16e.py',
    '../_base_/default_runtime.py',
]

window = 96
model = dict(
    data_preprocessor=dict(pad_to=window),
    backbone=_base_.fine_tuned,
    head=dict(num_classes=_base_.num_classes),
)
train_dataloader = val_dataloader = test_dataloader = dict(dataset=dict(num_samples=window))
val_evaluator = test_evaluator = [_base_.detections, _base_.proposals]

# E2E-TAD's clipping.
optim_wrapper = dict(
    clip_grad=dict(max_norm=0.1), paramwise_cfg=dict(custom_keys=_base_.slow_weights)
)
