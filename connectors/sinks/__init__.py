"""Where completions go: one file per sink."""
