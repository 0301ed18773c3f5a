# Three times the epochs of configs/studies/fir_narrow.py, after which the networks have not learnt the
# training videos yet, with mAP on these videos beside it. A run takes 20 to 40 minutes of one core.
#   python tools/analysis_tools/study.py configs/studies/fir_narrow_48e.py
_base_ = './fir_narrow.py'

title = 'FIR: ActionFormer and a narrow TSM18, trained from scratch for 48 epochs'
test_on_training = True
results = 'docs/en/benchmarks/fir_narrow_48e.json'
cfg_options = {
    'train_cfg.max_epochs': 48,
    'train_cfg.val_interval': 48,
    'param_scheduler.1.T_max': 47,
    'param_scheduler.1.end': 48,
}
compare = [*_base_.compare, ('concat_tg', 'rgb')]
