"""``python -m distfile_mirror``: how processes start one another."""

from distfile_mirror.cli.main import main

main()
