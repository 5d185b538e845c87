"""Mini trees of the evaluation sets with scattered layouts: a few frames of 6 x 8 pixels each.

Every `write_<name>(folder)` writes the layout of one dataset under `folder` and returns what a
reader must find there. `pack(folder, kind)` puts a tree into a tar or a zip beside it.
"""

import io
import json
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

H, W = 6, 8
SINTEL_TAG = struct.pack("<f", 202021.25)


def photo(seed=0, size_hw=(H, W)):
    """Red is 200 everywhere (a swap of channels shows), green follows columns, blue rows."""
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    return np.stack([200 + 0 * x, 11 * x % 250, (37 * y + seed) % 250], -1).astype(np.uint8)


def save(path, array, *, text=None):
    """An image file of the array; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    info = PngInfo()
    for key, value in (text or {}).items():
        info.add_text(key, value)
    options = {"pnginfo": info} if text else {}
    Image.fromarray(np.ascontiguousarray(array)).save(path, **options)


def write(path, content):
    """A text or binary file; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def pack(folder, kind, *, prefix=""):
    """The tree of `folder` in one `.tar` or `.zip` beside it; member names begin with `prefix`."""
    folder = Path(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    target = folder.with_name(f"{folder.name}.{kind}")
    if kind == "tar":
        with tarfile.open(target, "w") as archive:
            for path in files:
                archive.add(path, arcname=f"{prefix}{path.relative_to(folder).as_posix()}")
    else:
        with zipfile.ZipFile(target, "w") as archive:
            for path in files:
                archive.write(path, arcname=f"{prefix}{path.relative_to(folder).as_posix()}")
    return target


def same(a, b):
    """Whether two records say the same, array by array."""
    for name in ("rgb_HW3", "depth_HW", "valid_HW", "sky_HW", "intrinsics_33", "pose_44"):
        one, other = getattr(a, name), getattr(b, name)
        if (one is None) != (other is None) or (one is not None and not np.array_equal(one, other)):
            return False
    return (a.sample_id, a.scene, a.time_s) == (b.sample_id, b.scene, b.time_s)


IBIMS_NORMAL = (0.0, -1.0, 0.0)  # x right, y into the scene, z up: the wall faces the camera


def ibims_arrays():
    """Depth 10 m with a hole at (5,5); row 0 invalid, row 1 transparent; a wall and a floor."""
    depth = np.full((H, W), 13107, np.uint16)
    depth[5, 5] = 0
    invalid = np.full((H, W), 255, np.uint8)
    invalid[0] = 0
    transparent = np.full((H, W), 255, np.uint8)
    transparent[1] = 0
    edges = np.zeros((H, W), np.uint8)
    edges[:, 4] = 255
    wall = np.zeros((H, W), np.uint8)
    wall[:, :3], wall[:, 5:] = 1, 2
    floor = np.zeros((H, W), np.uint8)
    return {"depth": depth, "mask_invalid": invalid, "mask_transp": transparent, "edges": edges,
            "mask_wall": wall, "mask_floor": floor}  # fmt: skip


def write_ibims(folder, names=("corridor_01", "kitchen_02")):
    """`ibims1_core_raw`: pictures per kind, calibration and plane parameters as text."""
    raw = Path(folder) / "ibims1_core_raw"
    row = ",".join(str(value) for value in (0, 0, 0, 0, *IBIMS_NORMAL))
    for seed, name in enumerate(names):
        save(raw / "rgb" / f"{name}.png", photo(seed))
        for kind, array in ibims_arrays().items():
            save(raw / kind / f"{name}.png", array)
        write(raw / "calib" / f"{name}.txt", "550.0,551.0,4.0,3.0\n")
        write(raw / "mask_wall" / f"{name}.txt", f"{row}\n{row}\n")
        write(raw / "mask_floor" / f"{name}.txt", "")
    write(raw / "imagelist.txt", "\n".join(reversed(names)))  # no newline at the end
    return {"names": list(reversed(names)), "depth_m": 13107 * 50 / 65535, "invalid_rows": [0, 1],
            "hole": (5, 5), "edge_col": 4, "walls": 2,
            "intrinsics": [[550, 0, 4.5], [0, 551, 3.5], [0, 0, 1]]}  # fmt: skip


def write_ibims_mat(folder, name="corridor_01", *, change=None):
    """`ibims1_core_mat`: one struct `data` per image, depth in metres, calib transposed."""
    import scipy.io

    arrays = ibims_arrays()
    fields = arrays | {
        "rgb": photo(),
        "depth": arrays["depth"] * (50 / 65535),
        "calib": np.array([[550.0, 0, 0], [0, 551.0, 0], [4.0, 3.0, 1]]),
        "mask_wall_paras": np.array([[0, 0, 0, 0, *IBIMS_NORMAL]] * 2),
        "mask_floor_paras": np.zeros((0, 0)),
    }
    fields |= change or {}
    path = Path(folder) / "ibims1_core_mat" / f"{name}.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"data": fields})
    return path


TUM_RGB = ("1.000000", "1.033000", "1.041000", "1.100000")
TUM_DEPTH = ("1.010000", "1.042000", "1.130000")


def write_rgbd_sequence(folder, *, per_metre=5000):
    """One sequence as TUM and Bonn lay it out: 1 m with a hole, stamps that are not the same."""
    folder = Path(folder)
    codes = np.full((H, W), per_metre, np.uint16)
    codes[0, 0], codes[2, 3] = 0, per_metre // 2
    for i, stamp in enumerate(TUM_RGB):
        save(folder / "rgb" / f"{stamp}.png", photo(i))
    for stamp in TUM_DEPTH:
        save(folder / "depth" / f"{stamp}.png", codes)
    for kind, stamps in (("rgb", TUM_RGB), ("depth", TUM_DEPTH)):
        lines = [f"{stamp} {kind}/{stamp}.png" for stamp in stamps]
        write(folder / f"{kind}.txt", f"# {kind} images\n# stamp file\n" + "\n".join(lines) + "\n")
    write(
        folder / "groundtruth.txt",
        "# timestamp tx ty tz qx qy qz qw\n1.0010 1 2 3 0 0 0 1\n1.0340 2 2 3 0 0 0.5 0.5\n"
        "9.0 0 0 0 0 0 0 1\n",
    )


def write_tum(folder, names=("rgbd_dataset_freiburg3_walking_xyz", "rgbd_dataset_freiburg1_xyz")):
    """Two sequences; a stamp of `rgb` that is close to two of `depth`, and others near none."""
    for name in names:
        write_rgbd_sequence(Path(folder) / name)
    return {
        "sequences": sorted(names),
        "pairs": [("1.000000", "1.010000"), ("1.041000", "1.042000")],
        "pairs_by_index": list(zip(TUM_RGB, TUM_DEPTH, strict=False)),
        "times": [1.0, 1.041],
        "depth_m": {(1, 1): 1.0, (2, 3): 0.5},
        "hole": (0, 0),
        "poses": [
            [[1, 0, 0, 1], [0, 1, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]],
            [[0, -1, 0, 2], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]],
        ],
        "intrinsics_fr3": [[535.4, 0, 320.6], [0, 539.2, 248.1], [0, 0, 1]],
        "intrinsics_fr1": [[517.3, 0, 319.1], [0, 516.5, 255.8], [0, 0, 1]],
    }


def write_bonn(folder):
    """One sequence, also with the prepared folders that pair by position."""
    sequence = Path(folder) / "rgbd_bonn_balloon2"
    write_rgbd_sequence(sequence)
    for i in (0, 1):
        save(sequence / "rgb_110" / f"{TUM_RGB[i]}.png", photo(50 + i))
        save(sequence / "depth_110" / f"{TUM_DEPTH[i]}.png", np.full((H, W), 10000, np.uint16))
    return {
        "pairs": [("1.000000", "1.010000"), ("1.041000", "1.042000")],
        "pairs_by_index": list(zip(TUM_RGB, TUM_DEPTH, strict=False)),
        "depth_m": 1.0,
        "prepared_depth_m": 2.0,
        "intrinsics": [[542.822841, 0, 316.09352], [0, 542.57687, 238.256098], [0, 0, 1]],
    }


def pfm(array):
    """A little-endian grey PFM, bottom row first."""
    head = f"Pf\n{array.shape[1]} {array.shape[0]}\n-1.0\n".encode()
    return head + np.flipud(array).astype("<f4").tobytes()


def middlebury_calib(**changes):
    """A calibration file; f 1000 px, baseline 100 mm, doffs 5 px."""
    values = {"cam0": "[1000 0 4; 0 1000 3; 0 0 1]", "cam1": "[1000 0 9; 0 1000 3; 0 0 1]",
              "doffs": "5", "baseline": "100", "width": "8", "height": "6", "ndisp": "64",
              "isint": "0"} | changes  # fmt: skip
    return "".join(f"{key}={value}\n" for key, value in values.items() if value is not None)


def write_middlebury(folder):
    """A 2014 scene and a MiddEval3 scene: 4 m, unknown row 0, 6.67 m at (5,0)."""
    disparity = np.full((H, W), 20, np.float32)
    disparity[0] = np.inf
    disparity[5, 0] = 10
    nonoccluded = np.full((H, W), 255, np.uint8)
    nonoccluded[:, 7] = 128
    places = (("Adirondack-perfect", "disp0.pfm"), ("trainingQ/Piano", "disp0GT.pfm"))
    for place, name in places:
        scene = Path(folder) / place
        save(scene / "im0.png", photo())
        save(scene / "im1.png", photo(9))
        write(scene / name, pfm(disparity))
        write(scene / "calib.txt", middlebury_calib())
    save(Path(folder) / "trainingQ/Piano/mask0nocc.png", nonoccluded)
    return {"ids": ["middlebury/Adirondack-perfect", "middlebury/trainingQ/Piano"],
            "scenes": ["Adirondack", "Piano"], "depth_m": {(3, 3): 4.0, (5, 0): 100 / 15},
            "invalid_row": 0, "intrinsics": [[1000, 0, 4.5], [0, 1000, 3.5], [0, 0, 1]],
            "occluded_col": 7}  # fmt: skip


def sintel_camera(translation=(0.0, 0.0, -2.0)):
    """A `.cam` file: K float64, then world to camera."""
    matrix = np.array([[10, 0, 3.5], [0, 10, 2.5], [0, 0, 1]], "<f8")
    outer = np.hstack([np.eye(3), np.array(translation, "<f8")[:, None]])
    return SINTEL_TAG + matrix.tobytes() + outer.astype("<f8").tobytes()


def write_sintel(folder):
    """Two frames of one scene in both passes, 7.5 m under a sky; frames 2 before 10."""
    root = Path(folder) / "training"
    depth = np.full((H, W), 7.5, "<f4")
    depth[0] = 1e5
    content = SINTEL_TAG + struct.pack("<ii", W, H) + depth.tobytes()
    for scene, frames in (("alley_1", (2, 10)), ("temple_2", (1,))):
        for frame in frames:
            name = f"frame_{frame:04d}"
            for seed, render in enumerate(("clean", "final")):
                save(root / render / scene / f"{name}.png", photo(100 * seed + frame))
            write(root / "depth" / scene / f"{name}.dpt", content)
            write(root / "camdata_left" / scene / f"{name}.cam", sintel_camera((0, 0, -frame)))
    return {"frames": ["alley_1/frame_0002", "alley_1/frame_0010", "temple_2/frame_0001"],
            "depth_m": 7.5, "sky_row": 0, "centers": [2, 10, 1],
            "intrinsics": [[10, 0, 4], [0, 10, 3], [0, 0, 1]]}  # fmt: skip


def write_da2k(folder):
    """Three pictures of two scene types; row comes before column, once point2 is the closer."""
    folder = Path(folder)
    pairs = {
        "images/indoor/b.png": [{"point1": [4, 1], "point2": [0, 7], "closer_point": "point1"}],
        "images/indoor/a.png": [
            {"point1": [1, 2], "point2": [5, 3], "closer_point": "point2"},
            {"point1": [5, 7], "point2": [0, 0], "closer_point": "point1"},
        ],
        "images/aerial/c.jpg": [{"point1": [3, 3], "point2": [2, 2], "closer_point": "point1"}],
    }
    for seed, name in enumerate(pairs):
        save(folder / name, photo(seed))
    write(folder / "annotations.json", json.dumps(pairs, indent=1))
    return {"ids": ["da2k/aerial/c", "da2k/indoor/a", "da2k/indoor/b"],
            "pairs": [[((3, 3), (2, 2))], [((5, 3), (1, 2)), ((5, 7), (0, 0))], [((4, 1), (0, 7))]],
            "types": ["aerial", "indoor", "indoor"]}  # fmt: skip


def moge_codes():
    """Codes of a log-coded PNG, one per row: near, far, infinite, unknown, in between, near."""
    return np.repeat(np.array([1, 65534, 65535, 0, 32768, 1], np.uint16)[:, None], W, 1)


def write_moge_eval(folder):
    """Two sets of the evaluation bundle, one with `.index.txt`, one with `.test.txt`."""
    folder = Path(folder)
    labels = np.zeros((H, W), np.uint8)
    labels[4:, :2] = 3
    for line in ("iBims-1/corridor_01", "Sintel/alley_1/frame_0001"):
        place = folder / line
        save(place / "image.jpg", np.full((H, W, 3), 120, np.uint8))
        save(place / "depth.png", moge_codes(), text={"near": "1.0", "far": "100.0"})
        save(place / "segmentation.png", labels, text={"labels": json.dumps({"chair": 3})})
        camera = [[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]]
        write(place / "meta.json", json.dumps({"intrinsics": camera}))
    write(folder / "iBims-1/.index.txt", "corridor_01\n")
    write(folder / "Sintel/.test.txt", "alley_1/frame_0001")
    return {"ids": ["moge_eval/Sintel/alley_1/frame_0001", "moge_eval/iBims-1/corridor_01"],
            "scenes": ["Sintel/alley_1", "iBims-1/corridor_01"],
            "rows_m": [1, 100, 0, 0, float(100 ** (32767 / 65533)), 1], "sky_row": 2,
            "unknown_row": 3, "intrinsics": [[8, 0, 4], [0, 6, 3], [0, 0, 1]],
            "chair": (5, 1)}  # fmt: skip


def folder_depth():
    """Metres 1..2 with an unknown pixel at (0,0); exact in millimetres."""
    depth = (1 + np.arange(H * W).reshape(H, W) / 64).astype(np.float32)
    depth = np.round(depth * 1000) / np.float32(1000)
    depth[0, 0] = 0
    return depth.astype(np.float32)


def exr_bytes(array, channel="Z"):
    """A small OpenEXR file with one float channel, uncompressed."""

    def attribute(name, kind, value):
        return f"{name}\0{kind}\0".encode() + struct.pack("<i", len(value)) + value

    height, width = array.shape
    box = struct.pack("<4i", 0, 0, width - 1, height - 1)
    channels = channel.encode() + b"\0" + struct.pack("<iB3xii", 2, 0, 1, 1) + b"\0"
    head = struct.pack("<ii", 20000630, 2)
    head += attribute("channels", "chlist", channels)
    head += attribute("compression", "compression", b"\0")
    head += attribute("dataWindow", "box2i", box) + attribute("displayWindow", "box2i", box)
    head += attribute("lineOrder", "lineOrder", b"\0")
    head += attribute("pixelAspectRatio", "float", struct.pack("<f", 1))
    head += attribute("screenWindowCenter", "v2f", bytes(8))
    head += attribute("screenWindowWidth", "float", struct.pack("<f", 1)) + b"\0"
    size = 4 * width
    start = len(head) + 8 * height
    table = b"".join(struct.pack("<Q", start + y * (8 + size)) for y in range(height))
    rows = [struct.pack("<ii", y, size) + array[y].astype("<f4").tobytes() for y in range(height)]
    return head + table + b"".join(rows)


FORMATS = ("png", "npy", "npz", "exr", "pfm", "tif", "moge.png")


def write_formats(folder):
    """`depths/<format>` of the same map in every format; returns name -> units per metre."""
    depth = folder_depth()
    place = Path(folder) / "depths"
    save(place / "d.png", np.round(depth * 1000).astype(np.uint16))
    place.mkdir(parents=True, exist_ok=True)
    np.save(place / "d.npy", depth)
    np.savez(place / "d.npz", depth=depth, other=np.zeros(3))
    write(place / "d.exr", exr_bytes(depth))
    write(place / "d.pfm", pfm(depth))
    Image.fromarray(depth).save(place / "d.tif")
    near, far = 0.5, 4.0
    share = np.log(np.maximum(depth, near) / near) / np.log(far / near)
    codes = np.where(depth > 0, 1 + np.rint(share * 65533), 0).astype(np.uint16)
    save(place / "d.moge.png", codes, text={"near": str(near), "far": str(far)})
    return {f"depths/d.{name}": "1000" if name == "png" else "" for name in FORMATS}


def write_folder(folder):
    """Photos with depth in every format and one list of them in the columns of the spec."""
    folder = Path(folder)
    scales = write_formats(folder)
    lines = ["rgb,depth,depth_scale,fx,fy,cx,cy,scene,frame"]
    for i, (name, scale) in enumerate(scales.items()):
        save(folder / "photos" / f"p{i}.png", photo(i))
        lines.append(f"photos/p{i}.png,{name},{scale},10,11,3.5,2.5,room{i % 2},{i}")
    write(folder / "index.csv", "\n".join(lines))
    return {"ids": [f"folder/room{i % 2}/{i}" for i in range(len(scales))],
            "depth": folder_depth(), "log_step": np.log(8) / 65533,
            "intrinsics": [[10, 0, 4], [0, 11, 3], [0, 0, 1]]}  # fmt: skip


def write_stems(folder):
    """`rgb/` and `depth/` with the same stems and no list; one depth in a sub-folder."""
    folder = Path(folder)
    for i, stem in enumerate(("2", "10", "hall/1")):
        save(folder / "rgb" / f"{stem}.png", photo(i))
        target = folder / "depth" / f"{stem}.npy"
        target.parent.mkdir(parents=True, exist_ok=True)
        np.save(target, folder_depth() + i)
    return {"ids": ["folder/2", "folder/10", "folder/hall/1"], "scenes": ["2", "10", "hall"]}


def write_kit(folder):
    """A kit: `index.json` with pairs of a photo and an archive (depth, mask, perhaps K)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mask = np.ones((H, W), bool)
    mask[5] = False
    camera = np.array([[10, 0, 3.5], [0, 11, 2.5], [0, 0, 1]], np.float32)
    for i, name in enumerate(("desk_1", "desk_2")):
        save(folder / f"{name}.png", photo(i))
        arrays = {"depth": folder_depth(), "mask": mask} | ({"K": camera} if i == 0 else {})
        np.savez(folder / f"{name}.npz", **arrays)
    pairs = [
        {"name": "desk_1", "rgb": "desk_1.png", "npz": "desk_1.npz", "scene_id": "desk",
         "kind": "metric", "licence": "CC0"},
        {"name": "desk_2", "rgb": "desk_2.png", "npz": "desk_2.npz", "scene_id": "desk",
         "kind": "affine"},
    ]  # fmt: skip
    write(folder / "index.json", json.dumps({"note": "a kit", "pairs": pairs}, indent=1))
    return {"ids": ["folder/desk/desk_1", "folder/desk/desk_2"], "masked_row": 5,
            "kinds": ["metric", "affine"],
            "intrinsics": [[10, 0, 4], [0, 11, 3], [0, 0, 1]]}  # fmt: skip


def png_bytes(array):
    """An image in memory."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()
