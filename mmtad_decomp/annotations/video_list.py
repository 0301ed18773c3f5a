"""Lists of videos in files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path


def read_video_list(source: str | Path | Sequence[str]) -> tuple[str, ...]:
    """Ids of videos, such as ActivityNet's blocked ones.

    Args:
        source: The ids themselves, or a file: a JSON list, a JSON object whose keys are ids, or
            text with one id per line, where empty lines and those that start with ``#`` do not
            count. JSON may be empty.

    Raises:
        ValueError: If the file is missing, malformed, or text that names no video.
    """
    if not isinstance(source, (str, Path)):
        return tuple(source)
    try:
        text = Path(source).read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f'list of videos {source} cannot be read: {error}') from error
    is_json = text.lstrip()[:1] in ('[', '{')
    if is_json:
        try:
            ids = list(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise ValueError(f'list of videos {source} is not valid JSON: {error}') from error
    else:
        lines = map(str.strip, text.splitlines())
        ids = [line for line in lines if line and not line.startswith('#')]
    if not (ids or is_json) or not all(isinstance(name, str) for name in ids):
        raise ValueError(
            f'list of videos {source} must name videos: a JSON list of strings, or one id per line'
        )
    return tuple(dict.fromkeys(ids))
