"""Short questions to each side, never shown to the partner."""
