"""LTI 1.3 Advantage for a Flask tool: protocol only, no database, no mentoring."""
