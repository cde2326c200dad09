"""The message thread of a pairing."""
