"""Preparation of mentors and mentees: modules, the gate, supervision groups."""
