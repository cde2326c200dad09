"""What the two people of a pairing agree on; versions kept, both sign."""
