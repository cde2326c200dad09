"""Goals of a pairing; the first version is kept for ever."""
