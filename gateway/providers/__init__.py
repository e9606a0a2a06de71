"""Data on providers and models: presets, capabilities, prices, edits. Makes no network calls."""
