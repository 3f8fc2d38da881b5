"""Builds each process from the configuration: the only place that names concrete classes.

Modules with Django models can be imported only once Django is set up, so each process sets it up
first and then imports what it is made of.
"""
