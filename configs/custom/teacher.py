# The motion teacher of student.py.
_base_ = './baseline.py'

model = dict(
    data_preprocessor=dict(modality=dict(_delete_=True, type='TemporalGradientInput')),
)
