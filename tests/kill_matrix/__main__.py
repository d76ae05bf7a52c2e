"""`python -m tests.kill_matrix`: hits a session everywhere in every way; `--real` on a real homeserver."""

from __future__ import annotations

import sys

from tests.kill_matrix import real
from tests.kill_matrix.simulated import matrix

if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument not in ("--real", "--simulated")]
    raise SystemExit((real if "--real" in sys.argv else matrix).main(arguments))
