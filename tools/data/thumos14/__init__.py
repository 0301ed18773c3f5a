"""THUMOS'14: annotations and videos of the temporal detection task."""
