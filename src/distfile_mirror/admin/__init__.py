"""The control plane: pages and a REST API in which people declare what must be present, and why."""
