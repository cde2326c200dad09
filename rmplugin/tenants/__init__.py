"""Tenants, the LTI platforms and HR accounts they connect, and the tool's keys."""
