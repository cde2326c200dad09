"""From an LTI launch to a person on a page."""
