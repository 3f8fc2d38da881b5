"""Speed, measured: ratios to nginx and curl in the same run. `make bench` runs all of it."""
