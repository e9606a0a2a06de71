"""Cost: what providers bill beside what was computed, newer prices, and the export."""
