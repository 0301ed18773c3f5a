# Follows ../actionformer_tsm18_thumos.py. Differences: none, this is its fusion.
_base_ = '../actionformer_tsm18_thumos.py'

model = dict(student=dict(fusion=dict(_delete_=True, type='LocalAttentiveFusion')))
