# A very short training from scratch.
_base_ = './scratch_16e.py'

train_cfg = dict(max_epochs=4, val_interval=4)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], T_max=3, end=4),
]
