# The detector of the shipped student (demo/README.md): a narrow TSM18 and a narrow head on GRID.
_base_ = [
    '../_base_/models/actionformer_tsm18narrow.py',
    '../_base_/datasets/grid_videos.py',
    '../_base_/schedules/scratch_16e.py',
    '../_base_/default_runtime.py',
]

width = 80
model = dict(
    data_preprocessor=dict(pad_to=_base_.window),
    neck=dict(out_channels=width),
    head=dict(
        in_channels=width,
        num_classes=_base_.num_classes,
        num_levels=4,
        encoder=dict(embed_dims=width),
    ),
)

train_cfg = dict(max_epochs=8, val_interval=8)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], T_max=7, end=8),
]
