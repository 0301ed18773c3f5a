# Follows ../actionformer_tsm18_thumos.py. Differences: the fusion is attention to differences.
_base_ = '../actionformer_tsm18_thumos.py'

model = dict(student=dict(fusion=dict(_delete_=True, type='DiffAttentionFusion')))
