"""Models: what each can do and costs, who says so, and what was changed here."""
