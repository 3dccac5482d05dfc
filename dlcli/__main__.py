"""`python -m dlcli` is `dl`."""

from dlcli.cli import main

main()
