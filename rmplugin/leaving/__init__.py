"""Leaving well: the end of a pairing, pauses, thanks, and what each person takes along."""
