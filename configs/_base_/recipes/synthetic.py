# The rendered set, trained from scratch.
_base_ = [
    '../datasets/synthetic_videos.py',
    '../schedules/scratch_4e.py',
    '../default_runtime.py',
]
