"""What is held about a person: shown to them, exported, erased, and removed in time."""
