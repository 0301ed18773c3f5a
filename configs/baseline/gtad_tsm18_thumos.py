_base_ = ['../_base_/models/gtad_tsm18.py', '../_base_/recipes/thumos14_e2e_tad.py']

# Follows G-TAD's release for THUMOS'14. Its longest duration: 64 steps of 5 frames at 30 fps are 107
# at 10 fps. Soft-NMS of sigma 0.46 in each window and again over all. Differences: trained end to end
# with E2E-TAD's schedule; one class map per class by focal loss, no external classifier; the best pair
# of an instance is positive; candidates of 10 s and more stay, which the release drops.
model = dict(
    data_preprocessor=dict(pad_to=_base_.window),
    backbone=_base_.fine_tuned,
    head=dict(
        num_classes=_base_.num_classes,
        max_duration=107,
    ),
)

val_evaluator = dict(post_processor=dict(nms=dict(sigma=0.46), nms_per_window=True))
test_evaluator = val_evaluator
