"""``python -m logger``."""

from logger.cli import main

main()
