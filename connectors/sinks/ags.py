"""LTI Assignment and Grade Services."""
