"""The gateway's files are readable by its own user only."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_files_are_private_in_an_existing_data_directory(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    data.chmod(0o755)
    database = data / "dragoman.sqlite3"
    database.touch()
    database.chmod(0o644)
    env = {
        **{name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
        "DRAGOMAN_DATA_DIR": str(data),
        "DJANGO_SETTINGS_MODULE": "gateway.config.settings",
    }
    text = "import os; os.umask(0o022); import django; django.setup(); "
    text += "from django.db import connection; c = connection.cursor(); "
    text += "c.execute('CREATE TABLE t (a)'); open(r'%s', 'w')" % (data / "other")
    subprocess.run([sys.executable, "-c", text], cwd=ROOT, env=env, check=True, timeout=60)
    files = [path for path in data.rglob("*") if path.is_file()]
    assert database in files
    octs_by_name = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in files}
    assert set(octs_by_name.values()) == {"0o600"}, octs_by_name
