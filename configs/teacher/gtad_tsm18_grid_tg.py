_base_ = '../baseline/gtad_tsm18_grid.py'

model = dict(
    data_preprocessor=dict(modality=dict(_delete_=True, type='TemporalGradientInput')),
)
