"""The API reference at `/docs`: a list of operations and a page for each."""
