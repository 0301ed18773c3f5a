# Follows AFSD's release for THUMOS'14 (head, losses, post-processing) and E2E-TAD's (frames, augmentation,
# schedule). Differences: TSM18 for I3D; independent classes by sigmoid; a neck before the head;
# background of 1 s inserted; windows overlap by 0.75 in training and 0.25 in tests. All are in
# docs/en/user_guides/afsd.md.
_base_ = ['../_base_/models/afsd_tsm18.py', '../_base_/recipes/thumos14_e2e_tad.py']

model = dict(
    data_preprocessor=dict(pad_to=_base_.window),
    backbone=_base_.fine_tuned,
    head=dict(num_classes=_base_.num_classes),
)

# AFSD's threshold and soft-NMS. Its 5,000 detections per class are more than soft-NMS leaves.
val_evaluator = dict(post_processor=dict(score_thr=0.01, max_per_video=None))
test_evaluator = val_evaluator
