_base_ = '../baseline/actionformer_i3d_thumos.py'

model = dict(
    data_preprocessor=dict(modality=dict(_delete_=True, type='TemporalGradientInput')),
)
