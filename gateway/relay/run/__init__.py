"""Runs requests: pipeline, stream, hedge, settlement, embeddings, internal calls."""
