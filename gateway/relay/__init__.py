"""The only layer that awaits and calls out: pipeline, upstreams, journal."""
