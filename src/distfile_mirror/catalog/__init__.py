"""The catalog: who declared what and why, and what became of it. Django models and the use cases on them.

One writer per fact: the admin writes declarations, downloaders write outcomes, the proxy reads.
"""
