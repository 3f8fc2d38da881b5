"""Reads stored blobs again, at a chosen rate, and marks what is not what it should be."""
