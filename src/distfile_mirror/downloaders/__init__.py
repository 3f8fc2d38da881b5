"""Fetching what is declared and not yet present: claim, fetch, verify, commit, record."""
