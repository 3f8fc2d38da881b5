"""The organisation's own certificate authority: the only place that ever holds its key."""
