"""The response cache: key, store, backends, index, semantic search."""
