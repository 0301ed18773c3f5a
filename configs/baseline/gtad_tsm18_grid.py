_base_ = [
    '../_base_/models/gtad_tsm18_small.py',
    '../_base_/datasets/grid_videos.py',
    '../_base_/schedules/scratch_4e.py',
    '../_base_/default_runtime.py',
]

# Words last at most 0.43 s, 11 frames.
model = dict(
    data_preprocessor=dict(pad_to=_base_.window),
    head=dict(num_classes=_base_.num_classes, max_duration=16),
)
