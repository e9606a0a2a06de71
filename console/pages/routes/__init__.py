"""Routes: the editor of their steps, versions, and the dry run."""
