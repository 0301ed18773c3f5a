# FIR with a narrow TSM18 (32 channels in the first stage) and crops of 36x48, for CPUs: a run takes 7 to
# 12 minutes of one core.
#   python tools/data/fir/prepare.py path/to/fir --out data/fir
#   python tools/analysis_tools/study.py configs/studies/fir_narrow.py
_base_ = '../_base_/studies/narrow_tsm18.py'

title = 'FIR: ActionFormer and a narrow TSM18, trained from scratch'
seeds = (0, 1, 2)
test_on_training = False
metric = 'mAP_0.1:0.5'
results = 'docs/en/benchmarks/fir_narrow.json'
cfg_options = {
    'optim_wrapper.dtype': 'float32',
    'val_cfg.dtype': 'float32',
    'test_cfg.dtype': 'float32',
    'train_dataloader.dataset.pipeline.0.short_side': 42,
    'train_dataloader.dataset.pipeline.2.size': (36, 48),
    'val_dataloader.dataset.pipeline.0.short_side': 42,
    'test_dataloader.dataset.pipeline.0.short_side': 42,
}

system = 'actionformer_tsm18_fir'
# A training takes 1.6 times as long as the baseline's.
students = dict(teacher='teacher_tg', cost=1.6)
rows = [
    dict(
        name='teacher_tg',
        title='TG teacher',
        config=f'configs/teacher/{system}_tg.py',
    ),
    dict(name='rgb', title='RGB baseline', config=f'configs/baseline/{system}.py'),
    dict(
        name='conventional_tg',
        title='conventional, TG',
        config=f'configs/conventional/{system}.py',
        teacher='teacher_tg',
        cost=1.3,
    ),
    dict(
        name='concat_tg',
        title='concatenation, TG',
        config=f'configs/decomp/ablation/{system}_concat.py',
        **students,
    ),
    dict(
        name='local_tg',
        title='local attention, TG',
        config=f'configs/decomp/{system}.py',
        **students,
    ),
    dict(
        name='quarter_mimics_tg',
        title='local attention, both mimics at a quarter, TG',
        config=f'configs/decomp/{system}.py',
        cfg_options={
            'custom_hooks.0.schedule.feature.stop': 0.25,
            'custom_hooks.0.schedule.prediction.stop': 0.25,
        },
        **students,
    ),
    # Not in the paper: there no mimic reaches the joint head.
    dict(
        name='joint_mimic_tg',
        title='local attention, joint head mimics predictions too, TG',
        config=f'configs/decomp/{system}.py',
        cfg_options={
            'model.distill.mimics.joint': dict(
                loss=dict(type='PredictionMimicLoss'),
                student=dict(source='head'),
                teacher=dict(source='head'),
            ),
            'custom_hooks.0.schedule.joint': dict(start=0.0, stop=1.0, begin=0, end=1),
        },
        **students,
    ),
]
del system, students
compare = [
    ('local_tg', 'rgb'),
    ('local_tg', 'conventional_tg'),
    ('local_tg', 'concat_tg'),
    ('concat_tg', 'conventional_tg'),
    ('conventional_tg', 'rgb'),
    ('quarter_mimics_tg', 'local_tg'),
    ('quarter_mimics_tg', 'rgb'),
    ('joint_mimic_tg', 'local_tg'),
    ('joint_mimic_tg', 'rgb'),
]
