# As with the temporal gradient, but the teacher reads the flow half of two-stream features, which the
# student's pipeline has loaded with the RGB half.
_base_ = './decomp_tg.py'

distill = dict(
    teacher=dict(modality=dict(_delete_=True, type='FeatureInput', channels=(1024, 2048))),
)
