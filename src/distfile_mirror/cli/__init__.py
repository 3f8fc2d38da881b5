"""What a person types: commands that serve, and commands that speak REST to a server."""
