# Follows TAGS's release, which is for ActivityNet alone (thresholds of masks, weights of their losses), and
# E2E-TAD's for THUMOS'14 (frames, augmentation, backbone, schedule). Differences: independent
# classes; masks relative to their snippet; losses of boundaries and consistency by formulas of our
# own; no candidates from class scores alone. docs/en/user_guides/tags.md has the full list.
_base_ = ['../_base_/models/tags_tsm18.py', '../_base_/recipes/thumos14_e2e_tad.py']

model = dict(
    data_preprocessor=dict(pad_to=_base_.window),
    backbone=_base_.fine_tuned,
    head=dict(num_classes=_base_.num_classes, max_steps=_base_.window),
)
