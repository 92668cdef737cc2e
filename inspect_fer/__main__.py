"""`python -m inspect_fer`: the command line, for launchers such as torchrun."""

from inspect_fer.cli import main

main()
