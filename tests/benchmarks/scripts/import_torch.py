"""Imports torch and ends; says when it began, and when torch was there."""

import time

begun = time.time()
import torch  # noqa: E402

print(begun, time.time(), torch.__version__.partition("+")[0])
