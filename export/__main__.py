"""`python -m export` in a checkout: forwards to the installed keras_cnnzoo.export."""

import sys

sys.modules.pop("export", None)  # one name per module

from keras_cnnzoo.export.cli import main

if __name__ == "__main__":
    main()
