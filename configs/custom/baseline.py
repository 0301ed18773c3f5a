# RGB alone, without a teacher: a narrow TSM18 and ActionFormer, trained from scratch.
_base_ = [
    '../_base_/models/actionformer_tsm18narrow.py',
    './data.py',
    '../_base_/schedules/scratch_4e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(pad_to=_base_.window),
    head=dict(num_classes=_base_.num_classes, num_levels=4),
)
