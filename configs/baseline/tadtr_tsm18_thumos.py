# Follows E2E-TAD's and TadTR's releases for THUMOS'14; hard NMS of 0.4 where windows overlap, and no other
# suppression. Differences: TSM18 in place of TSM50 or SlowFast, a neck before the head; a candidate
# in two overlaps counts once.
_base_ = ['../_base_/models/tadtr_tsm18.py', '../_base_/recipes/thumos14_e2e_tad.py']

model = dict(
    data_preprocessor=dict(pad_to=_base_.window),
    backbone=_base_.fine_tuned,
    head=dict(num_classes=_base_.num_classes),
)

# E2E-TAD's clipping.
optim_wrapper = dict(
    clip_grad=dict(max_norm=0.1), paramwise_cfg=dict(custom_keys=_base_.slow_weights)
)

val_evaluator = dict(post_processor=dict(nms=None, overlap_iou=0.4, max_per_video=None))
test_evaluator = val_evaluator
