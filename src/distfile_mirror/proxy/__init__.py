"""The data plane: serves what is stored under its original URL, and never contacts an upstream."""
