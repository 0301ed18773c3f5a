# Two branches, shared head and fusion as in the method, but no teacher: does the size alone help?
_base_ = ['../../baseline/tadtr_tsm18_grid.py', '../../_base_/distill/decomp_tg.py']

model = dict(_delete_=True, type='DecomposedDetector', detector=_base_.model, fusion=_base_.fusion)
custom_hooks = []
