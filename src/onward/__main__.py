"""`python -m onward` is `onward`."""

from onward.cli.main import main

main()
