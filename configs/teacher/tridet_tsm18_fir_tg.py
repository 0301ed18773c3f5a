_base_ = '../baseline/tridet_tsm18_fir.py'

model = dict(
    data_preprocessor=dict(modality=dict(_delete_=True, type='TemporalGradientInput')),
)
