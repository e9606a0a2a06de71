#!/usr/bin/env python
# What `uv run manage.py` installs: the product with its extras, without the tools of its tests.
# /// script
# requires-python = ">=3.11,<3.15"
# dependencies = ["dragoman[aws,daphne,export,google,litellm,otel,postgres,redis,socks,sso]"]
#
# [tool.uv]
# exclude-newer = "2026-11-21T00:00:00Z"
# sources = { dragoman = { path = ".", editable = true } }
# ///
"""Dragoman's command line: `up` runs it, `help` lists the rest."""

from gateway.cli import main

if __name__ == "__main__":
    main()
