"""When people are busy, from the calendar address that they may give."""
