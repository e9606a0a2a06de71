"""The translation matrix: every client dialect on every provider dialect, through live code.

feature_requests.py  one dialect-independent request per feature, with markers to find it upstream
clients.py    the body of such a request in each client dialect
readers.py    what a client of each dialect reads from the response
upstreams.py  a strict provider of each dialect
run.py        runs every combination through the edge and the relay
table.py      the result as docs/crossing.md; `python -m tests.dialects.crossing` prints it
"""
