"""What the product talks about: URIs, checksums, states. Pure values, no I/O."""
