"""Aims: what mentors want to grow in as leaders, rated at the start, half-way and at the end."""
