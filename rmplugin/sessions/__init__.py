"""Mentoring sessions, confirmed by both."""
