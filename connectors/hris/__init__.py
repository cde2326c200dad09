"""HR systems: one file per system."""
