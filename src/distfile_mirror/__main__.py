"""``python -m distfile_mirror``: the program, by the interpreter that is to run it."""

from distfile_mirror.cli.main import main

if __name__ == "__main__":
    main()
