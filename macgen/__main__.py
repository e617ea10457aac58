"""`python -m macgen` is `macgen`."""

from macgen.cli.main import main

if __name__ == "__main__":
    main()
