"""Ledger, completion, and deliveries to sinks."""
