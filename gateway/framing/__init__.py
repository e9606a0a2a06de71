"""Incremental codecs: `feed(bytes)` gives the frames that are complete."""
