"""Matching: who could guide whom, the best set of pairs, and a reason for everyone who is left out."""
