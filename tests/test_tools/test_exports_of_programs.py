"""Readers of labels on files with all the fields that the programs themselves write.

Each was written by hand after the program's format: ELAN 6 (EAF 3.0), VIA 3.1.1, CVAT's "for video
1.1" and "for images 1.1", Label Studio's JSON, BORIS 8's project and aggregated events, and the
fields of ActivityNet-1.3 and of ActionFormer's THUMOS'14.
"""

import json

import pytest

from tools.data.labels import LabelError, ReadOptions, read_labels

EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2024-05-02T10:11:12+01:00" FORMAT="3.0" VERSION="3.0"
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
    xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
  <LICENSE LICENSE_URL=""/>
  <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
    <MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/data/kitchen%2001.wav" MIME_TYPE="audio/x-wav"
        RELATIVE_MEDIA_URL="./sound/kitchen%2001%20mono.wav"/>
    <MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/data/kitchen%2001.mp4" MIME_TYPE="video/mp4"
        RELATIVE_MEDIA_URL="./kitchen%2001.mp4" EXTRACTED_FROM=""/>
    <PROPERTY NAME="URN">urn:nl-mpi-tools-elan-eaf:1</PROPERTY>
    <PROPERTY NAME="lastUsedAnnotationId">3</PROPERTY>
  </HEADER>
  <TIME_ORDER>
    <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="1240"/>
    <TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="2480"/>
    <TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="3000"/>
    <TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="3960"/>
  </TIME_ORDER>
  <TIER DEFAULT_LOCALE="en" LINGUISTIC_TYPE_REF="default-lt" PARTICIPANT="P1" TIER_ID="actions">
    <ANNOTATION>
      <ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
        <ANNOTATION_VALUE>open fridge</ANNOTATION_VALUE>
      </ALIGNABLE_ANNOTATION>
    </ANNOTATION>
    <ANNOTATION>
      <ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" CVE_REF="cveid0" TIME_SLOT_REF1="ts3"
          TIME_SLOT_REF2="ts4">
        <ANNOTATION_VALUE>close fridge</ANNOTATION_VALUE>
      </ALIGNABLE_ANNOTATION>
    </ANNOTATION>
  </TIER>
  <TIER LINGUISTIC_TYPE_REF="note" PARENT_REF="actions" TIER_ID="notes">
    <ANNOTATION>
      <REF_ANNOTATION ANNOTATION_ID="a3" ANNOTATION_REF="a1">
        <ANNOTATION_VALUE>with the left hand</ANNOTATION_VALUE>
      </REF_ANNOTATION>
    </ANNOTATION>
  </TIER>
  <LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt"
      TIME_ALIGNABLE="true"/>
  <LINGUISTIC_TYPE CONSTRAINTS="Symbolic_Association" GRAPHIC_REFERENCES="false"
      LINGUISTIC_TYPE_ID="note" TIME_ALIGNABLE="false"/>
  <LOCALE COUNTRY_CODE="US" LANGUAGE_CODE="en"/>
  <CONSTRAINT DESCRIPTION="1-1 association" STEREOTYPE="Symbolic_Association"/>
  <CONTROLLED_VOCABULARY CV_ID="actions">
    <CV_ENTRY_ML CVE_ID="cveid0"><CVE_VALUE LANG_REF="und">close fridge</CVE_VALUE></CV_ENTRY_ML>
  </CONTROLLED_VOCABULARY>
</ANNOTATION_DOCUMENT>
"""

VIA = dict(
    project=dict(pid='__VIA_PROJECT_ID__', rev='__VIA_PROJECT_REV_ID__', pname='kitchen',
                 rev_timestamp='__VIA_PROJECT_REV_TIMESTAMP__', data_format_version='3.1.1',
                 creator='VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)',
                 created=1714640000000, vid_list=['1']),
    config=dict(file=dict(loc_prefix={'1': '', '2': '', '3': '', '4': ''}),
                ui=dict(file_content_align='center', file_metadata_editor_visible=True,
                        spatial_region_label_attribute_id='',
                        gtimeline_visible_row_count='4')),
    attribute={
        '1': dict(aname='TEMPORAL-SEGMENTS', anchor_id='FILE1_Z2_XY0', type=4, desc='actions',
                  options={'0': 'open fridge', '1': 'close fridge'}, default_option_id=''),
        '2': dict(aname='hands', anchor_id='FILE1_Z2_XY0', type=2, desc='', default_option_id='',
                  options={'l': 'left', 'r': 'right'}),
        '3': dict(aname='remark', anchor_id='FILE1_Z0_XY0', type=1, desc='', options={},
                  default_option_id=''),
        '4': dict(aname='free', anchor_id='FILE1_Z2_XY0', type=1, desc='', options={},
                  default_option_id=''),
    },
    file={'1': dict(fid='1', fname='kitchen 01.mp4', type=4, loc=1, src='')},
    view={'1': dict(fid_list=['1'])},
    metadata={
        '1_BXLfdQfa': dict(vid='1', flg=0, z=[1.24, 2.48], xy=[], av={'1': '0', '2': 'l,r'}),
        '1_cbzrHITO': dict(vid='1', flg=0, z=[3.0, 3.96], xy=[], av={'1': '1', '4': 'slowly'}),
        '1_wT3fQ9aL': dict(vid='1', flg=0, z=[1.5], xy=[2, 4, 5, 20, 30], av={}),
        '1_qQn7zXcV': dict(vid='1', flg=0, z=[], xy=[], av={'3': 'dark'}),
    },
)  # fmt: skip

CVAT_TASK = """<task>
      <id>7</id><name>kitchen</name><size>100</size><mode>{mode}</mode><overlap>5</overlap>
      <bugtracker></bugtracker><created>2024-05-02 09:00:00.1+00:00</created>
      <updated>2024-05-02 09:10:00.1+00:00</updated><subset>default</subset>
      <start_frame>0</start_frame><stop_frame>99</stop_frame><frame_filter>{filter}</frame_filter>
      <segments><segment><id>7</id><start>0</start><stop>99</stop>
        <url>http://localhost:8080/api/jobs/7</url></segment></segments>
      <owner><username>admin</username><email></email></owner><assignee></assignee>
      <labels><label><name>open fridge</name><color>#ff0000</color><type>any</type>
        <attributes></attributes></label></labels>
      <original_size><width>640</width><height>480</height></original_size>
      <source>kitchen 01.mp4</source>
    </task>
    <dumped>2024-05-02 09:11:00.1+00:00</dumped>"""

CVAT_VIDEO = f"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    {CVAT_TASK.format(mode='interpolation', filter='')}
  </meta>
  <track id="0" label="open fridge" source="manual">
    <box frame="31" keyframe="1" outside="0" occluded="0" xtl="1.0" ytl="2.0" xbr="9.0" ybr="8.0"
        z_order="0"><attribute name="hand">left</attribute></box>
    <box frame="32" keyframe="0" outside="0" occluded="0" xtl="1.0" ytl="2.0" xbr="9.0" ybr="8.0"
        z_order="0"></box>
    <box frame="62" keyframe="1" outside="1" occluded="0" xtl="1.0" ytl="2.0" xbr="9.0" ybr="8.0"
        z_order="0"></box>
  </track>
  <track id="1" label="close fridge" source="manual">
    <polygon frame="75" keyframe="1" outside="0" occluded="0" points="1,1;2,2;3,1" z_order="0">
    </polygon>
    <polygon frame="98" keyframe="1" outside="0" occluded="0" points="1,1;2,2;3,1" z_order="0">
    </polygon>
  </track>
</annotations>
"""

CVAT_TAGS = (
    f"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    {CVAT_TASK.format(mode='annotation', filter='step=2')}
  </meta>"""
    + ''.join(
        f'<image id="{frame}" name="frame_{frame:06}" width="640" height="480">'
        f'<tag label="{label}" source="manual"></tag></image>'
        for label, frames in (('open fridge', (30, 32, 34)), ('close fridge', (40, 42)))
        for frame in frames
    )
    + '</annotations>'
)

LABEL_STUDIO = [
    dict(
        id=12,
        annotations=[
            dict(
                id=5, completed_by=1, was_cancelled=False, ground_truth=False,
                created_at='2024-05-02T09:00:00.000000Z', lead_time=41.2, prediction={},
                result_count=2, unique_id='1f', task=12, project=3,
                result=[
                    dict(value=dict(ranges=[dict(start=32, end=62)],
                                    timelinelabels=['open fridge']),
                         id='Xa12', from_name='actions', to_name='video', type='timelinelabels',
                         origin='manual'),
                    dict(value=dict(framesCount=100, duration=4.0, labels=['hand'], sequence=[
                             dict(frame=1, enabled=True, rotation=0, x=1, y=1, width=2, height=2,
                                  time=0.04)]),
                         id='Vb34', from_name='box', to_name='video', type='videorectangle',
                         origin='manual'),
                ],
            )
        ],
        file_upload='0a1b2c3d-kitchen_01.mp4',
        drafts=[],
        predictions=[dict(result=[dict(value=dict(ranges=[dict(start=1, end=9)],
                                                  timelinelabels=['guess']))])],
        data=dict(video='/data/upload/3/0a1b2c3d-kitchen_01.mp4', fps=25),
        meta={}, inner_id=1, total_annotations=1, cancelled_annotations=0, comment_count=0,
    )
]  # fmt: skip

BORIS = dict(
    time_format='hh:mm:ss', project_date='2024-05-02T09:00:00', project_name='kitchen',
    project_description='', project_format_version='7.0', subjects_conf={
        '0': dict(key='', name='P1', description='')},
    behaviors_conf={
        '0': {'type': 'State event', 'key': 'O', 'code': 'open fridge', 'description': '',
              'color': '', 'category': '', 'modifiers': '', 'excluded': '', 'coding map': ''},
        '1': {'type': 'State event with coding map', 'key': 'C', 'code': 'close fridge',
              'description': '', 'color': '', 'category': '', 'modifiers': '', 'excluded': '',
              'coding map': ''},
        '2': {'type': 'Point event', 'key': 'B', 'code': 'blink', 'description': '', 'color': '',
              'category': '', 'modifiers': '', 'excluded': '', 'coding map': ''},
    },
    observations={
        'first': {
            'file': {'1': ['/home/user/kitchen 01.mp4'], **{str(i): [] for i in range(2, 9)}},
            'type': 'MEDIA', 'date': '2024-05-02T09:00:00', 'description': '', 'time offset': 0.0,
            'events': [[1.24, 'P1', 'open fridge', '', '', 31], [1.5, '', 'blink', '', '', 37],
                       [2.48, 'P1', 'open fridge', '', '', 62],
                       [3.0, '', 'close fridge', '', '', 75],
                       [3.96, '', 'close fridge', '', '', 99]],
            'observation time interval': [0, 0], 'independent_variables': {},
            'visualize_spectrogram': False, 'close_behaviors_between_videos': False,
            'media_info': {'length': {'/home/user/kitchen 01.mp4': 4.0},
                           'fps': {'/home/user/kitchen 01.mp4': 25.0}, 'offset': {'1': 0.0}},
        },
        'photographs': {'file': [], 'type': 'IMAGES', 'directories_list': ['/home/user/p'],
                        'events': [['NA', '', 'open fridge', '', '', 3, '/home/user/p/3.jpg']]},
        'live': {'file': [], 'type': 'LIVE', 'events': [[1.0, '', 'open fridge', '', '']]},
    },
    independent_variables={}, coding_map={}, behavioral_categories=[], converters={},
)  # fmt: skip

BORIS_TABLE = """Observation id\tObservation date\tDescription\tObservation type\tSource\tTime offset (s)\tCoding duration\tMedia duration (s)\tFPS (frame/s)\tStart time\tSubject\tObservation duration by subject by observation\tBehavior\tBehavioral category\tBehavior type\tStart (s)\tStop (s)\tDuration (s)\tMedia file name\tImage index start\tImage index stop\tComment start\tComment stop
first\t2024-05-02 09:00:00\t\tMedia file\tplayer #1:/home/user/kitchen 01.mp4\t0.000\t2.720\t4.000\t25.000\t2000-01-01\tP1\t2.720\topen fridge\tNot defined\tSTATE\t1.240\t2.480\t1.240\t/home/user/kitchen 01.mp4\t31\t62\t\t
first\t2024-05-02 09:00:00\t\tMedia file\tplayer #1:/home/user/kitchen 01.mp4\t0.000\t2.720\t4.000\t25.000\t2000-01-01\tP1\t2.720\tblink\tNot defined\tPOINT\t1.500\t1.500\tNA\t/home/user/kitchen 01.mp4\t37\t37\t\t
first\t2024-05-02 09:00:00\t\tMedia file\tplayer #1:/home/user/kitchen 01.mp4\t0.000\t2.720\t4.000\t25.000\t2000-01-01\tP1\t2.720\tclose fridge\tNot defined\tSTATE\t3.000\t3.960\t0.960\t/home/user/kitchen 01.mp4\t75\t99\t\t
"""  # noqa: E501

SECONDS = [(1.24, 2.48, 'open fridge'), (3.0, 3.96, 'close fridge')]

ACTIVITYNET = dict(
    version='VERSION 1.3',
    taxonomy=[dict(parentName='Root', parentId=0, nodeName='Kitchen', nodeId=1)],
    database={
        'kitchen 01.mp4': dict(
            duration=4.0, subset='training', resolution='640x480', url='https://host/kitchen01',
            annotations=[
                {'segment': [1.24, 2.48], 'segment(frames)': [31, 62], 'label': 'open fridge',
                 'label_id': 1},
                {'segment': [3, 3.96], 'segment(frames)': [75, 99], 'label': 'close fridge',
                 'label_id': 0},
            ],
        ),
        'held out': dict(duration=4.0, subset='testing', annotations=[]),
    },
)  # fmt: skip


def read(tmp_path, name, content, **options):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    labels = read_labels(path, ReadOptions(**options))
    names = {label.video.replace('\\', '/').rpartition('/')[2] for label in labels}
    assert len(names) == 1 and names <= {'kitchen 01.mp4', 'kitchen_01.mp4'}
    return [(label.start, label.end, label.label) for label in labels]


@pytest.mark.parametrize(
    ('name', 'content', 'options', 'wanted'),
    [
        ('k.eaf', EAF, {}, SECONDS),
        ('k.json', VIA, dict(layers=['TEMPORAL-SEGMENTS']), SECONDS),
        ('k.json', VIA, dict(layers=['hands', 'free']),
         [(1.24, 2.48, 'left'), (1.24, 2.48, 'right'), (3.0, 3.96, 'slowly')]),
        ('k.xml', CVAT_VIDEO, {}, [(31, 62, 'open fridge'), (75, 99, 'close fridge')]),
        ('k.xml', CVAT_TAGS, {}, [(30, 36, 'open fridge'), (40, 44, 'close fridge')]),
        ('k.json', LABEL_STUDIO, {}, [(31, 62, 'open fridge')]),
        ('k.boris', BORIS, {}, SECONDS),
        ('k.tsv', BORIS_TABLE, {}, SECONDS),
        ('k.json', ACTIVITYNET, dict(unit='frames'), SECONDS),
    ],
    ids=['elan', 'via', 'via-others', 'cvat', 'cvat-tags', 'label-studio', 'boris', 'boris-table',
         'activitynet'],
)  # fmt: skip
def test_files_with_all_their_fields(tmp_path, name, content, options, wanted):
    assert read(tmp_path, name, content, **options) == wanted


def test_an_elan_annotation_without_a_time_is_named(tmp_path):
    with pytest.raises(LabelError, match='annotation a1: has no time; align it in ELAN'):
        read(tmp_path, 'k.eaf', EAF.replace(' TIME_VALUE="2480"', ''))
