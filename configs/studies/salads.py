# 50 Salads, 9 actions: features, with accelerometers as the teacher's input. The five folds of the
# first split, pooled: each of its ten videos is tested once. Folds 5 to 24 are those of the others.
#     python tools/analysis_tools/study.py configs/studies/salads.py
title = '50 Salads, ActionFormer on features, teacher on accelerometers'
seeds = [0, 1, 2]
fold_variable = 'MMTAD_SALADS_FOLD'
folds = [str(fold) for fold in range(5)]
test_on_training = False
metric = 'mAP_0.3:0.7'
results = 'docs/en/benchmarks/salads.json'

config = 'configs/decomp/actionformer_features_salads.py'
student = dict(config=config, teacher='teacher')
cross_fitted = dict(config=config, teacher=[f'teacher_without{part}' for part in range(4)])
predictions_alone = {'custom_hooks.0.schedule.feature.stop': 0.0}
rows = [
    dict(
        name='teacher',
        title='accelerometers (teacher)',
        config='configs/teacher/actionformer_features_salads.py',
    ),
    dict(
        name='features',
        title='features',
        config='configs/baseline/actionformer_features_salads.py',
    ),
    dict(
        name='both',
        title='features and accelerometers, late fusion',
        config='configs/baseline/actionformer_features_salads.py',
        fuse=('features', 'teacher'),
    ),
    dict(
        name='no_distill',
        title='features, two branches, no teacher',
        config='configs/decomp/ablation/actionformer_features_salads_no_distill.py',
    ),
    dict(
        name='conventional',
        title='features, conventional distillation',
        config='configs/conventional/actionformer_features_salads.py',
        teacher='teacher',
    ),
    dict(
        name='concat',
        title='features, decomposed, concat',
        **student,
        cfg_options={'model.student.fusion': dict(_delete_=True, type='ConcatFusion')},
    ),
    dict(
        name='local',
        title='features, decomposed, local attention',
        **student,
    ),
    dict(
        name='quarter_mimics',
        title='features, decomposed, local attention, both mimics at a quarter',
        **student,
        cfg_options={
            'custom_hooks.0.schedule.feature.stop': 0.25,
            'custom_hooks.0.schedule.prediction.stop': 0.25,
        },
    ),
    dict(
        name='motion_drop',
        title='features, decomposed, local attention, motion dropped in half of the samples',
        **student,
        cfg_options={'model.student.motion_drop_rate': 0.5},
    ),
    dict(
        name='quarter_feature',
        title='features, decomposed, local attention, mimic of features at a quarter',
        **student,
        cfg_options={'custom_hooks.0.schedule.feature.stop': 0.25},
    ),
    dict(
        name='no_feature_mimic',
        title='features, decomposed, local attention, without the mimic of features',
        **student,
        cfg_options=predictions_alone,
    ),
    dict(
        name='conventional_predictions',
        title='features, conventional distillation, without the mimic of features',
        config='configs/conventional/actionformer_features_salads.py',
        teacher='teacher',
        cfg_options=predictions_alone,
    ),
    # Each leaves out one user of four, whose videos it will be asked about.
    *(
        dict(
            name=f'teacher_without{part}',
            title=f'accelerometers, user {part + 1} of 4 left out',
            config='configs/teacher/actionformer_features_salads.py',
            cfg_options={'train_dataloader.dataset.leave_out': (part, 4)},
        )
        for part in range(4)
    ),
    dict(
        name='cross_fitted',
        title='features, decomposed, local attention, cross-fitted teachers',
        **cross_fitted,
    ),
    dict(
        name='cross_fitted_predictions',
        title='features, local attention, cross-fitted teachers, without the mimic of features',
        **cross_fitted,
        cfg_options=predictions_alone,
    ),
]
del config, student, cross_fitted, predictions_alone
compare = [
    ('local', 'features'),
    ('local', 'no_distill'),
    ('local', 'conventional'),
    ('quarter_mimics', 'local'),
    ('motion_drop', 'local'),
    ('cross_fitted', 'local'),
    ('quarter_feature', 'local'),
    ('no_feature_mimic', 'local'),
    ('no_feature_mimic', 'features'),
    ('no_feature_mimic', 'no_distill'),
    ('no_feature_mimic', 'conventional'),
    ('no_feature_mimic', 'conventional_predictions'),
    ('conventional_predictions', 'features'),
    ('cross_fitted_predictions', 'no_feature_mimic'),
    ('cross_fitted_predictions', 'local'),
    ('cross_fitted_predictions', 'features'),
    ('local', 'concat'),
    ('concat', 'conventional'),
    ('conventional', 'features'),
]
