# Validates, tests and stores the moving average of the weights: ActionFormer's EMA of 0.999.
_base_ = './default_runtime.py'

default_hooks = dict(ema=dict(type='EMAHook', momentum=0.001))
