"""The crossing matrix: every client dialect on every provider dialect, through live code.

feature_requests.py  one request per feature, in no dialect, and markers to find it upstream
clients.py    how a client of each dialect asks it
readers.py    what a client of each dialect makes of the answer
upstreams.py  a strict provider of each dialect
run.py        all of it through the edge, the relay and back
table.py      the outcome as docs/crossing.md; `python -m tests.dialects.crossing` prints it
"""
