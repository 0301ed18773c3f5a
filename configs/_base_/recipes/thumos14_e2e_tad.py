# THUMOS'14 end to end, with E2E-TAD's schedule.
_base_ = [
    '../datasets/thumos14_frames.py',
    '../schedules/e2e_16e.py',
    '../default_runtime.py',
]
