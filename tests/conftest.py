"""One thread for each library: the tests run beside one another on small machines."""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import cv2
import torch

cv2.setNumThreads(1)
torch.set_num_threads(1)
