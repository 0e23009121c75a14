"""What runs on the board: measures what the order says and tells each event at once, a line of JSON each.

    python bundle.pyz MARKER order.json

Each line begins with the marker, so that whatever else a login prints is told apart. Needs numpy and
the runners' packages.
"""

import os
import sys
from pathlib import Path

from ...errors import InputError
from ..events import Failed, encode
from ..order import Order
from ..session import measure


def main() -> None:
    marker, order_file = sys.argv[1:]
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # a library that prints does so elsewhere
    try:
        for event in measure(Order.from_json(Path(order_file).read_text())):
            print(marker, encode(event), file=lines)
    except InputError as error:
        print(marker, encode(Failed(None, str(error))), file=lines)
    except BrokenPipeError:  # nobody listens any more
        os._exit(1)
