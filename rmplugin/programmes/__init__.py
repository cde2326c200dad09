"""Programmes, their templates, and who takes part."""
