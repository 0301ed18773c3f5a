# Follows ../actionformer_tsm18_thumos.py. Differences: the fusion is concatenation.
_base_ = '../actionformer_tsm18_thumos.py'

model = dict(student=dict(fusion=dict(_delete_=True, type='ConcatFusion')))
