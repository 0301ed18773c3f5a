# Weizmann, trained from scratch.
_base_ = [
    '../datasets/weizmann_videos.py',
    '../schedules/scratch_16e.py',
    '../default_runtime.py',
]
