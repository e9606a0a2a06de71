"""Incremental codecs: `feed(bytes)` returns the frames that are complete."""
