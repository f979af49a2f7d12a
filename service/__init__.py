"""Capture, ingest, query, settings, servers and the command line."""
