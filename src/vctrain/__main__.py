"""``python -m vctrain`` is the ``vctrain`` command."""

from vctrain.cli import main

if __name__ == "__main__":
    main()
