"""What a child process is asked for in tests: some good, some not."""

import os
from pathlib import Path

import numpy as np


def counts(first, number):
    print("noise, which is no answer")
    return np.arange(first, first + number, dtype=np.uint16).reshape(-1, 2), {"first": first}


def process():
    return np.array([os.getpid()]), {}


def raises(text):
    raise KeyError(text)


def aborts():
    os.abort()


def never_ends():
    while True:
        pass


def takes_all():
    return np.ones(1 << 40, np.uint8), {}


def writes(path):
    Path(path).write_text("written")
    return np.array(["text"], object), {}


def aborts_on(path, syntax):
    os.abort()
