# THUMOS'14 end to end, with ActionFormer's weight decay and averaged weights.
_base_ = [
    '../datasets/thumos14_frames.py',
    '../schedules/actionformer_16e.py',
    '../averaged_runtime.py',
]
