_base_ = [
    '../_base_/models/gtad_tsm18.py',
    '../_base_/datasets/activitynet13_gtad.py',
    '../_base_/schedules/e2e_16e.py',
    '../_base_/default_runtime.py',
]

# Follows G-TAD's release for ActivityNet: 100 steps and durations, 32 + 4 samples per pair, map
# convolutions of kernel 1, regression weighted 10, pairs between peaks of the start and end scores,
# soft-NMS of sigma 0.8, the two best classes of a video. Differences: trained end to end with
# E2E-TAD's frames, backbone and schedule, not on features with Adam 4e-3 for 10 epochs.
window = 100
model = dict(
    data_preprocessor=dict(pad_to=window),
    backbone=_base_.fine_tuned,
    head=dict(
        num_classes=_base_.num_classes,
        max_duration=window,
        map_branch=dict(kernel_size=1, align=dict(num_inner=32, num_context=4)),
        best_iou=None,
        peak_ratio=0.5,
        loss_cls=dict(loss_weight=1.0, extra_count=0.0),
        loss_reg=dict(loss_weight=10.0),
    ),
)
train_dataloader = val_dataloader = test_dataloader = dict(dataset=dict(num_samples=window))
val_evaluator = test_evaluator = [_base_.detections, _base_.proposals]
