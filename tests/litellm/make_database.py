"""Creates `data/litellm.sql.gz`, the database of a LiteLLM proxy, with LiteLLM itself:

    python -m tests.litellm.make_database

It starts LiteLLM from PyPI (`own_proxy.py`) on an empty PostgreSQL database at TEST_POSTGRES_URL
with LiteLLM's migrations, configures and uses it through its API (`proxy_calls.py`), and dumps it.
`data/litellm.json` has the API's reports and the keys. Nothing else writes rows.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fakes import StrictOpenAI
from tests.litellm.own_proxy import installed_packages, running_proxy
from tests.litellm.proxy_calls import set_up_and_use
from tests.litellm.proxy_database import migrations, new_database

DATA = Path(__file__).parent / "data"
DUMP, REPORTED = DATA / "litellm.sql.gz", DATA / "litellm.json"


def main() -> None:
    """Create both files."""
    DATA.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as directory,
        StrictOpenAI() as provider,
        new_database(migrations(installed_packages())) as (url, _),
    ):
        with running_proxy(Path(directory), url, provider.url) as proxy:
            reported = set_up_and_use(proxy)
        dump = subprocess.run(
            # The heartbeats have the name of the machine.
            ["pg_dump", "--inserts", "--no-owner", "--no-privileges", "--no-comments"]
            + ['--exclude-table-data="LiteLLM_ProxyWorkerHeartbeat"', url],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    lines = [line for line in dump.splitlines() if line and not line.startswith(("--", "\\"))]
    DUMP.write_bytes(gzip.compress("\n".join(lines).encode(), 9, mtime=0))
    REPORTED.write_text(json.dumps(reported, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sys.stdout.write(f"{DUMP}: {DUMP.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
