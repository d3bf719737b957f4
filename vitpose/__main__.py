"""`python -m vitpose`, for `accelerate launch -m vitpose evaluate ...`: the command line in a process of several."""

import sys

if __name__ == "__main__":
    from vitpose_cli.main import main

    sys.exit(main())
