# configs/studies/fir_narrow_48e.py with training and validation videos swapped, which tests the 11 videos that
# it trains on. Together the two studies test all 21.
#   python tools/analysis_tools/study.py configs/studies/fir_narrow_48e_swapped.py
_base_ = './fir_narrow_48e.py'

title = 'FIR, 48 epochs, training and validation videos swapped: ActionFormer and a narrow TSM18, from scratch'
results = 'docs/en/benchmarks/fir_narrow_48e_swapped.json'
cfg_options = {
    'train_dataloader.dataset.subset': 'validation',
    'val_dataloader.dataset.subset': 'training',
    'val_evaluator.subset': 'training',
    'test_dataloader.dataset.subset': 'training',
    'test_evaluator.subset': 'training',
}
