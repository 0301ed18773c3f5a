"""ELAN documents (EAF): one file for each video."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

from .records import Label, LabelError, ReadOptions, class_name, number


def read(path: Path, options: ReadOptions) -> list[Label]:
    """Read the aligned annotations of a document's tiers.

    Annotations that refer to others (symbolic ones) have no time of their own and are left out. A
    document that links no media is of the video of its own name. Of several linked files, such as
    a recording of the sound and a video, the first video counts.

    Raises:
        LabelError: If the file is no ELAN document, a tier is missing, or an annotation has no
            time.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise LabelError(f'{path} is not valid XML ({error}); save it again in ELAN') from error
    if root.tag != 'ANNOTATION_DOCUMENT':
        raise LabelError(f'{path}: no ELAN document, its root is <{root.tag}>')
    header = root.find('HEADER')
    unit = 'milliseconds' if header is None else header.get('TIME_UNITS', 'milliseconds')
    if unit != 'milliseconds':
        raise LabelError(f'{path}: times are in {unit}; save it in ELAN with milliseconds')
    media = _media(header)
    url = path.stem if media is None else media.get('RELATIVE_MEDIA_URL') or media.get('MEDIA_URL')
    origin = 0.0 if media is None else number(media.get('TIME_ORIGIN', 0), f'{path}: TIME_ORIGIN')
    tiers = {tier.get('TIER_ID', ''): tier for tier in root.iter('TIER')}
    missing = sorted(set(options.layers) - set(tiers))
    if missing:
        raise LabelError(f'{path}: no tier {missing[0]!r}; --layers takes some of {sorted(tiers)}')
    slots = {slot.get('TIME_SLOT_ID'): slot.get('TIME_VALUE') for slot in root.iter('TIME_SLOT')}
    labels = []
    for name in options.layers or tiers:
        for item in tiers[name].iter('ALIGNABLE_ANNOTATION'):
            where = f'{path}, tier {name}, annotation {item.get("ANNOTATION_ID")}'
            times = [slots.get(item.get(f'TIME_SLOT_REF{i}')) for i in (1, 2)]
            if None in times:
                raise LabelError(f'{where}: has no time; align it in ELAN')
            start, end = ((number(time, where) + origin) / 1000 for time in times)
            text = name if options.name_from == 'tier' else item.findtext('ANNOTATION_VALUE')
            labels.append(Label(unquote(url or ''), start, end, class_name(text, where), where))
    return labels


def _media(header: ElementTree.Element | None) -> ElementTree.Element | None:
    """The linked file that is annotated."""
    linked = [] if header is None else header.findall('MEDIA_DESCRIPTOR')
    videos = [media for media in linked if media.get('MIME_TYPE', '').startswith('video/')]
    return next(iter(videos or linked), None)
