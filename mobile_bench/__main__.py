"""`python -m mobile_bench` in a checkout: forwards to the installed keras_cnnzoo.mobile_bench."""

import sys

sys.modules.pop("mobile_bench", None)  # one name per module

from keras_cnnzoo.mobile_bench.cli import main

if __name__ == "__main__":
    main()
