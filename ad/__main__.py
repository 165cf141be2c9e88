"""The command line: ``python -m ad demo``."""

import argparse
import sys

from ad import demo


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ad", description="Reverse-mode differentiation of numerical Python."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo.add_options(commands.add_parser("demo", help="calibrate a predator-prey model to the lynx and hare record"))
    return demo.main(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
