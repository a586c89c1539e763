"""Published data sets as tensors, in their published order, checked by their published digests.

    load("cifar10")["inputs"]      (50000, 3, 32, 32) uint8, memory-mapped
    status("cifar10")              present, missing or corrupt; which file; what to do
    prepare("cifar10")             download what is missing, check, decode

Files lie under $ASSAY_DATA (default ~/assay-data), decoded tensors under $ASSAY_CACHE (default
~/.cache/assay). Importing this package imports no torch.
"""

from assay.data.catalogue import DATASETS, DatasetEntry, dataset
from assay.data.files import FileStatus, data_dir, status
from assay.data.loading import cache_dir, load, prepare

__all__ = [
    "DATASETS",
    "DatasetEntry",
    "FileStatus",
    "cache_dir",
    "data_dir",
    "dataset",
    "load",
    "prepare",
    "status",
]
