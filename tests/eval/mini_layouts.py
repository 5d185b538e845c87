"""For every protocol that runs on images, the small tree of its data set and how it is opened.

The trees are those of tests/data; sizes that a protocol fixes are made small where they cost time.
"""

from importlib import import_module
from typing import NamedTuple

import mini_d1
import mini_d2
import numpy as np
from mini_data import MiniData, mini_protocol
from PIL import Image

from nearfar.data.catalog import open_dataset
from nearfar.eval.protocol import load_protocol

SMALL = ("image.size=[24, 32]", "truth.size=[24, 32]")


class Layout(NamedTuple):
    """writer: `module:function`, or one of this file. changes: of the protocol, for the tree."""

    writer: str
    list_name: str | None = None
    changes: tuple[str, ...] = ()


def rooms(folder, *, alpha=False):
    """An index of two 480x640 photos as npy depth and, on request, a matte of a person."""
    rows, columns = np.mgrid[0:480, 0:640]
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["rgb,depth,scene" + (",alpha" if alpha else "")]
    for i in range(2):
        depth = (5 - 3 * rows / 480 + 0.01 * i).astype(np.float32)
        Image.fromarray(np.full((480, 640, 3), 90 + i, np.uint8)).save(folder / f"{i}.png")
        np.save(folder / f"{i}.npy", depth)
        matte = 255 * (np.hypot(rows - 240, columns - 320) < 100)
        Image.fromarray(matte.astype(np.uint8)).save(folder / f"{i}_alpha.png")
        lines.append(f"{i}.png,{i}.npy,clip/{i}" + (f",{i}_alpha.png" if alpha else ""))
    (folder / "index.csv").write_text("\n".join(lines) + "\n")


def mattes(folder):
    rooms(folder, alpha=True)


def middlebury_full(folder):
    """MiddEval3 at full size, which the other tests write as quarter size."""
    mini_d1.write_middlebury(folder)
    (folder / "trainingQ").rename(folder / "trainingF")


def hypersim_test(folder):
    """Raw scenes in the test partition, and the filtered list of another project that names one."""
    mini_d2.write_hypersim(folder)
    path = folder / "metadata_images_split_scene_v1.csv"
    path.write_text(path.read_text().replace(",,train", ",,test").replace(",,val", ",,test"))


_KITTI = Layout("mini_c:write_kitti", "eigen_test_files_with_gt.txt")
_NYU = Layout("mini_c:write_nyu")
_NYU_LISTED = Layout("mini_c:write_nyu_marigold", None, ("mask.terms=['file', 'range']",))
_ETH3D = Layout("mini_c:write_eth3d")
_DIODE = Layout("mini_c:write_diode")
_SCANNET = Layout("mini_c:write_scannet", "list.txt")
_MOGE = Layout("mini_d1:write_moge_eval", None, SMALL)
_IBIMS = Layout("mini_d1:write_ibims")
_CLIPS = (("vda", "-110"), ("vda", "-500"), ("dc", ""), ("ppvd", ""))
_UNCUT = ("image.crop=none", "truth.crop=none")
LAYOUTS = {
    "boundary-f1-masked": _IBIMS,
    "da2k": Layout("mini_d1:write_da2k"),
    "dar-kitti": _KITTI,
    "dar-kitti-eigen": _KITTI,
    "dar-nyu": _NYU,
    "dar-sunrgbd": Layout("mini_c:write_sunrgbd"),
    "dav2-metric": _KITTI._replace(changes=("mask.least_pixels=1",)),
    "dc-nyuv2": _NYU,
    "depthart-eth3d": _ETH3D._replace(changes=SMALL),
    "depthart-ibims": _IBIMS,
    "depthart-nyuv2": Layout("mini_c:write_nyu_bts", None, _UNCUT),
    "depthart-tum": Layout("mini_d1:write_tum"),
    "depthpro-boundary-f1": Layout("mini_d1:write_sintel"),
    "depthpro-boundary-recall": Layout("mini_layouts:mattes"),
    "depthpro-metric-booster": Layout("mini_d1:write_stems"),
    "depthpro-metric-eth3d": Layout("mini_c:write_eth3d_marigold"),
    "depthpro-metric-middlebury": Layout("mini_layouts:middlebury_full"),
    "depthpro-metric-nuscenes": Layout("mini_d1:write_kit", None, ("mask.max=100.0",)),
    "depthpro-metric-sintel": Layout("mini_d1:write_sintel"),
    "depthpro-metric-sunrgbd": Layout("mini_c:write_sunrgbd", "list.txt"),
    "edge-chamfer": Layout("mini_layouts:hypersim_test"),
    "eigen-metric-kitti": _KITTI._replace(list_name="monodepth2.txt"),
    "eigen-metric-nyu": _NYU,
    "ibims": _IBIMS,
    **{f"marigold-diode{s}": _DIODE for s in ("", "-disp")},
    **{f"marigold-eth3d{s}": _ETH3D for s in ("", "-disp")},
    **{f"marigold-kitti{s}": _KITTI for s in ("", "-disp")},
    **{f"marigold-nyuv2{s}": _NYU_LISTED for s in ("", "-disp")},
    **{f"marigold-scannet{s}": _SCANNET for s in ("", "-disp")},
    **{f"moge-{s}": _MOGE for s in ("affine", "disparity", "metric", "scale")},
    **{f"moge-points-{s}": _MOGE for s in ("scale", "scale-xyz", "scale-z", "shift-xyz")},
    "perframe-bonn": Layout("mini_d1:write_bonn"),
    "perframe-kitti": Layout("mini_c:write_kitti"),
    "perframe-nyuv2": Layout("mini_layouts:rooms"),
    "perframe-scannet": _SCANNET._replace(changes=_UNCUT),
    "ppd-diode": _DIODE,
    "ppd-eth3d": _ETH3D._replace(changes=SMALL),
    "ppd-kitti": _KITTI,
    "ppd-nyuv2": Layout("mini_c:write_nyu_marigold"),
    "ppd-scannet": _SCANNET,
    "real-folder": Layout("mini_d1:write_folder"),
    "synthetic": Layout(""),  # scenes cost seconds to draw: test_eval.py of the cli does
}
_FIRST = ("video.first=0",)
LAYOUTS |= {  # clips: as the image protocols of the same data
    **{f"{p}-bonn{n}": Layout("mini_d1:write_bonn", None, _FIRST) for p, n in _CLIPS},
    **{f"{p}-kitti{n}": Layout("mini_c:write_kitti", None, _FIRST) for p, n in _CLIPS},
    **{f"{p}-scannet{n}": _SCANNET._replace(changes=(*_UNCUT, *_FIRST)) for p, n in _CLIPS},
    "vda-nyuv2-500": Layout("mini_layouts:rooms"),
    "ppvd-nyuv2": Layout("mini_layouts:rooms"),
    "vda-sintel-110": Layout("mini_d1:write_sintel"),
    "dc-sintel": Layout("mini_d1:write_sintel"),
    "tae-scannet": _SCANNET._replace(changes=(*_UNCUT, *_FIRST)),
    "tae-v2": _SCANNET._replace(changes=(*_UNCUT, *_FIRST)),
    "vda-synthetic": Layout("", None, ("dataset.count=5",)),
}
SETS = {"depthpro-boundary-f1": "sintel"}  # of protocols with sets, where it is not ibims


def opened(name, folder):
    """The protocol for its small tree, and the data set below the folder."""
    layout = LAYOUTS[name]
    if not layout.writer:
        return mini_protocol(name), MiniData()
    module, _, function = layout.writer.partition(":")
    getattr(import_module(module), function)(folder)
    has_sets = "sets" in load_protocol(name).table
    full = f"{name}-{SETS.get(name, 'ibims')}" if has_sets else name
    protocol = mini_protocol(full, *layout.changes)
    data = open_dataset(
        protocol.dataset.name,
        folder,
        split=protocol.dataset.split,
        list_file=None if layout.list_name is None else folder / layout.list_name,
        options={key: str(value) for key, value in protocol.dataset.options.items()},
    )
    return protocol, data
