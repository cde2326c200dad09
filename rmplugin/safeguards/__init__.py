"""Safeguards: confidential help by a person outside both reporting lines."""
