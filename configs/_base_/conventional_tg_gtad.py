# Conventional distillation for G-TAD: the only branch mimics the teacher's score maps, starts and ends.
_base_ = './conventional_tg.py'

distill = dict(
    mimics=dict(prediction=dict(loss=dict(_delete_=True, type='GTADPredictionMimicLoss')))
)
