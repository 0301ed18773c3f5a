"""JSON objects whose keys must differ."""

from __future__ import annotations

from collections import Counter


def refuse_duplicates(pairs: list[tuple[str, object]]) -> dict:
    """An ``object_pairs_hook`` for :func:`json.loads`, which otherwise keeps the last of several.

    Raises:
        KeyError: If a key occurs twice; its argument is the key.
    """
    content = dict(pairs)
    if len(content) < len(pairs):
        raise KeyError(next(key for key, n in Counter(k for k, _ in pairs).items() if n > 1))
    return content
