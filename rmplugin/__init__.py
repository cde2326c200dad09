"""Reverse mentoring inside the LMS that a company already has."""
