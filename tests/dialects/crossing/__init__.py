"""The crossing matrix: every client dialect on every provider dialect, through live code.

asks.py       what is asked, in no dialect, and the marks to find it by
clients.py    how a client of each dialect asks it
readers.py    what a client of each dialect makes of the answer
upstreams.py  a strict provider of each dialect
run.py        all of it through the edge, the relay and back
table.py      the outcome as docs/crossing.md; `python -m tests.dialects.crossing` prints it
"""
