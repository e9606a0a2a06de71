"""Public links to playground runs: managing them, and the page that they open."""
