"""Dialects of learning platforms, one file each."""
