"""A separate process that sends small requests and prints their durations as JSON.

    python -m tests.e2e.prober PORT KEY

It stops at the end of its standard input.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time

BODY = json.dumps(
    {
        "model": "demo",
        "messages": [{"role": "user", "content": "hi"}],
        "mock_response": "ok",
    }
)


def main(port: int, key: str) -> None:
    """Send requests until standard input ends."""
    finished = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), finished.set()), daemon=True).start()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    durations_s: list[float] = []
    failures: list[str] = []
    print("ready", flush=True)
    while not finished.is_set():
        start = time.perf_counter()
        try:
            connection.request("POST", "/v1/chat/completions", BODY, headers)
            response = connection.getresponse()
            text = response.read()
            if response.status != 200:
                failures.append(f"{response.status} {text[:200]!r}")
        except (OSError, http.client.HTTPException) as error:
            failures.append(repr(error))
            connection.close()
        durations_s.append(time.perf_counter() - start)
        time.sleep(0.002)
    print(json.dumps({"took": durations_s, "failed": failures}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
