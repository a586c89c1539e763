"""The data sets: their classes, files, digests, addresses and constants."""

from __future__ import annotations

from dataclasses import dataclass

from assay.errors import UnknownName

ADDITION_MODULUS = 31
"""A prime, so that no number but 0 is special; so small that a rule is found within a second."""


@dataclass(frozen=True)
class DataFile:
    """One published file."""

    path: str
    """Relative to the data directory."""
    digest: str
    """`md5:` or `sha256:`, then the hexadecimal digest."""


@dataclass(frozen=True)
class Download:
    """An address, and the file that it serves."""

    url: str
    file: DataFile
    archive: bool = False
    """It is a .tar.gz with the data set's files under their paths; the archive is not kept."""


@dataclass(frozen=True)
class DatasetEntry:
    """A published data set."""

    name: str
    n_classes: int
    files: tuple[DataFile, ...] = ()
    """The files that are read; empty for data that come with Assay or with scikit-learn."""
    downloads: tuple[Download, ...] = ()
    channel_mean: tuple[float, ...] = ()
    """Means of the official training images per channel, on the scale 0..1."""
    channel_sd: tuple[float, ...] = ()
    """Standard deviations, as channel_mean."""
    needs: str | None = None
    """Another data set, to whose tensors this one adds some."""


_CIFAR10_FILES = tuple(
    DataFile(f"cifar-10-batches-py/{name}", f"sha256:{digest}")
    for name, digest in (
        ("data_batch_1", "54636561a3ce25bd3e19253c6b0d8538147b0ae398331ac4a2d86c6d987368cd"),
        ("data_batch_2", "766b2cef9fbc745cf056b3152224f7cf77163b330ea9a15f9392beb8b89bc5a8"),
        ("data_batch_3", "0f00d98ebfb30b3ec0ad19f9756dc2630b89003e10525f5e148445e82aa6a1f9"),
        ("data_batch_4", "3f7bb240661948b8f4d53e36ec720d8306f5668bd0071dcb4e6c947f78e9682b"),
        ("data_batch_5", "d91802434d8376bbaeeadf58a737e3a1b12ac839077e931237e0dcd43adcb154"),
        ("test_batch", "f53d8d457504f7cff4ea9e021afcf0e0ad8e24a91f3fc42091b8adef61157831"),
    )
)
_CIFAR10_MEAN, _CIFAR10_SD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
_CIFAR100_FILES = (
    DataFile("cifar-100-python/train", "md5:16019d7e3df5f24257cddd939b257f8d"),
    DataFile("cifar-100-python/test", "md5:f0ef6b0ae62326f3e7ffdfab6717acfc"),
)
_FASHION_FILES = tuple(
    DataFile(f"fashion-mnist/{name}-ubyte.gz", f"sha256:{digest}")
    for name, digest in (
        ("train-images-idx3", "f46450982819e161325683178a5324fc64e606fb3758c65c6ca7dcc91aa489fd"),
        ("train-labels-idx1", "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        ("t10k-images-idx3", "55ec2dd7358c56fba81678bf2cd00a44de07bae64c342921600298a2b5eb517d"),
        ("t10k-labels-idx1", "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    )
)
_TABLES = {
    name: DataFile(f"tabular/{file}.csv", f"sha256:{digest}")
    for name, file, digest in (
        (
            "mammography",
            "mammography",
            "7d3dea3f075f30bbdbb8980e7725684059b4fe3d0f850fadd0f635f6993d8730",
        ),
        (
            "pima",
            "pima-indians-diabetes",
            "6bfe5d0f379d17a0e0819b996407e3c09bf80febd4287f2ed212190dfff154af",
        ),
    )
}
_CIFAR10N_FILE = DataFile(
    "cifar-n/CIFAR-10_human.pt",
    "sha256:873e69c39cb9b5e97fb6bae2d60bb59b38a5cbc31d2b868f7903dcb2b9dd2310",
)


def _cifar_archive(name: str, md5: str) -> tuple[Download, ...]:
    url = f"https://www.cs.toronto.edu/~kriz/{name}"
    return (Download(url, DataFile(name, f"md5:{md5}"), archive=True),)


def _table(name: str) -> DatasetEntry:
    """Two classes, as Brownlee's collection of imbalanced tables has them."""
    file = _TABLES[name]
    address = "https://raw.githubusercontent.com/jbrownlee/Datasets/master/"
    url = address + file.path.removeprefix("tabular/")
    return DatasetEntry(name, 2, (file,), (Download(url, file),))


DATASETS: dict[str, DatasetEntry] = {
    entry.name: entry
    for entry in (
        DatasetEntry("digits", 10),
        DatasetEntry("breast_cancer", 2),
        DatasetEntry("python_reference", 27),
        DatasetEntry("modular_addition", ADDITION_MODULUS),
        *map(_table, _TABLES),
        DatasetEntry(
            "fashion_mnist",
            10,
            _FASHION_FILES,
            tuple(
                Download(
                    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
                    + file.path.removeprefix("fashion-mnist/"),
                    file,
                )
                for file in _FASHION_FILES
            ),
            channel_mean=(0.2860,),
            channel_sd=(0.3530,),
        ),
        DatasetEntry(
            "cifar10",
            10,
            _CIFAR10_FILES,
            _cifar_archive("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),
            channel_mean=_CIFAR10_MEAN,
            channel_sd=_CIFAR10_SD,
        ),
        DatasetEntry(
            "cifar100",
            100,
            _CIFAR100_FILES,
            _cifar_archive("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"),
            channel_mean=(0.5071, 0.4865, 0.4409),
            channel_sd=(0.2673, 0.2564, 0.2762),
        ),
        DatasetEntry(
            "cifar10n",
            10,
            (_CIFAR10N_FILE,),
            (
                Download(
                    "https://github.com/UCSC-REAL/cifar-10-100n/raw/main/data/CIFAR-10_human.pt",
                    _CIFAR10N_FILE,
                ),
            ),
            channel_mean=_CIFAR10_MEAN,
            channel_sd=_CIFAR10_SD,
            needs="cifar10",
        ),
    )
}


DECODED = {
    "digits": "10b11d36cd62712da45168046225a718a4df75c0c0ba0851cb112f5afc94b56f",
    "breast_cancer": "2ff4dd2a416cbbf3a09bf36dd711958b395e85c0b52ad027d93d235c6dd43168",
    "python_reference": "760c104a758afe744a55417fd4a495b52315da79b689fa40e12c86f1507149df",
    "modular_addition": "e0cac9358fcca26d9d19131ccebfac94ea7c4fa121a694265b058a330ede95d1",
    "mammography-7d965b3d5b82a9db": (
        "e1029f7d4f5c40c1db99d4620ea763395bd067be95aded92e4b6b1795f4739aa"
    ),
    "pima-f41fe72ece04deec": "10f3b8e7ed24b4602a9492d6b571b96e127b0a348ffcac47607e4b37687ea654",
    "fashion_mnist-1537066c433bb0f6": (
        "f09b19a0b7a59e5685eb8493d4f3a6786eaddd76f3b224955a2e4c7ee28a5f09"
    ),
    "cifar10-3eec208d25248a86": "ab6d81d85bdb5e3ec078ff289686f96fb38cb10aed7b5b56df3eaa5f697c5316",
    "cifar10n-bb4801383e38025f": "b15b11fa12077681e2cfb36a56f555266abc5cb73e834d0546986ad37d2cb5be",
}
"""SHA-256 of decoded tensors (loading.digest) by the name of their cache file, or of the data set
where there is none. A run without a sandbox can write to the cache and to scikit-learn's files, so
what is read from there is compared with these. A data set that is not listed is decoded from its
published files by every process."""


def dataset(name: str) -> DatasetEntry:
    """The data set `name`.

    Raises:
        UnknownName: there is none.
    """
    if name not in DATASETS:
        raise UnknownName("data set", name, DATASETS)
    return DATASETS[name]
