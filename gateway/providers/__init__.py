"""What is special about each provider and model, as data; nothing here calls out."""
