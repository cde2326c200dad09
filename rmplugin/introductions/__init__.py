"""Introductions: the first call of two people, and whether each of them wants to go on."""
