_base_ = '../baseline/actionformer_tsm18narrow_grid_mini.py'

model = dict(
    data_preprocessor=dict(modality=dict(_delete_=True, type='TemporalGradientInput')),
)
