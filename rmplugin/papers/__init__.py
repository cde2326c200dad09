"""Certificates and badges that people take along, and the public page that says whether one is valid."""
