"""Endpoints without translation: files, batches, images, audio, rerank."""
