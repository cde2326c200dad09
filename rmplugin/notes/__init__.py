"""What the two of a pairing keep of a session: notes, takeaways, action items, commitments."""
