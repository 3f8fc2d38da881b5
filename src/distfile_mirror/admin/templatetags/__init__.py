"""What the templates write often: addresses, digests, sizes, times, states."""
