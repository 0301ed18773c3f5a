# The method for a head with queries: the teacher's segments are matched with the student's first.
_base_ = './decomp_tg.py'

distill = dict(
    mimics=dict(prediction=dict(loss=dict(_delete_=True, type='QueryPredictionMimicLoss')))
)
