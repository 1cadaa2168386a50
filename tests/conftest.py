"""One thread for each library: the tests run beside one another on small machines. They keep nothing."""

import atexit
import os
import shutil
import tempfile

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", SVT_LOG="0")
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="vidswap-tests-")
os.environ["XDG_DATA_HOME"] = os.path.join(os.environ["XDG_CACHE_HOME"], "data")

import cv2
import torch
from hypothesis import settings

atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)
cv2.setNumThreads(1)
torch.set_num_threads(1)
settings.register_profile("thorough", max_examples=1000, deadline=None)
settings.register_profile("busy", deadline=None)  # no test is of time: others run beside it
settings.load_profile("busy")
