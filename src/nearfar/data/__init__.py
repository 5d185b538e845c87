"""Data for training and evaluation; knows no networks.

store.py    files of a folder, tar or zip
lists.py    list files and fingerprints of splits
decode.py   bytes of their files to arrays
cards.py    what is known of a dataset
catalog.py  all datasets by name
record.py   the record that dataset readers return
sample.py   the sample contract
clip_views.py  how a network sees clips: windows, one cut and one look for all frames
check.py    what lies at a path: which dataset, counts, ranges, warnings
folder.py   own RGB + depth from a CSV or JSONL list
adapt.py    records of datasets as training samples, mixtures
augment.py  seeded augmentation of batches: crops, flips, roll, color
appearance.py  random filters, mixed spectra, leveled contrast, erased patches
benchmarks/ readers of evaluation datasets
training/   readers of training datasets
scenes/     procedural scenes and their renderer
"""

from typing import TYPE_CHECKING

from nearfar.public import lazy_names

if TYPE_CHECKING:
    from .catalog import find_dataset, open_dataset
    from .folder import FolderDataset
    from .record import DepthRecord
    from .sample import DepthSample

__all__ = [
    "DepthRecord",
    "DepthSample",
    "FolderDataset",
    "find_dataset",
    "open_dataset",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "DepthRecord": "record",
        "DepthSample": "sample",
        "FolderDataset": "folder",
        "find_dataset": "catalog",
        "open_dataset": "catalog",
    },
)
