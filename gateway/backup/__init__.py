"""Backup and restore of an installation: its database, secrets and settings in one file.

archive.py     the file: manifest, checksums, optional encryption
sqlite.py      the database as a copy made by SQLite's online backup API
postgresql.py  the database as tables read in one REPEATABLE READ transaction
secrets.py     secrets and settings of this node
run.py         `create` and `restore`
"""

from __future__ import annotations
