# FIR, trained from scratch.
_base_ = [
    '../datasets/fir_videos.py',
    '../schedules/scratch_16e.py',
    '../default_runtime.py',
]
