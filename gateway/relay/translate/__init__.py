"""From a client request to the upstream request: passthrough or translation, and media."""
