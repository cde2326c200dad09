"""Aims: what mentors want to grow in as leaders, and how they see it at the start, half-way and at the end."""
