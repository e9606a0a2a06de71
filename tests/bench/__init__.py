"""How fast the gateway is, against nginx as a plain proxy on the same machine.

`uv run python -m tests.bench.run` prints the table; `--check` compares it with the goals.
"""
