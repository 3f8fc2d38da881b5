"""The only outbound traffic: asking upstreams for files, as hostile as they may be."""
