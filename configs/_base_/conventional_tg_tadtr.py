# Conventional distillation of a head with queries.
_base_ = './conventional_tg.py'

distill = dict(
    mimics=dict(prediction=dict(loss=dict(_delete_=True, type='QueryPredictionMimicLoss')))
)
