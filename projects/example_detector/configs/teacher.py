_base_ = './baseline.py'

model = dict(data_preprocessor=dict(modality=dict(key='motion_features')))
work_dir = 'work_dirs/example_detector/teacher'
