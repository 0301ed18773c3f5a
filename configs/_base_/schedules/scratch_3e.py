# The quickstart's very short training from scratch.
_base_ = './scratch_16e.py'

train_cfg = dict(max_epochs=3, val_interval=3)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], T_max=2, end=3),
]
