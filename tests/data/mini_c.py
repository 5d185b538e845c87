"""Small trees of six benchmarks as their owners lay them out, with the values they decode to.

`write_NAME(folder)` writes the files and returns what a reader must say of them. Red is 200 in
every photo, so that swapped channels show.
"""

import io
import pickle
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 6, 8
DRIVE = "2011_09_26_drive_0002_sync"
SUN_FRAME = "xtion/sun3ddata/mit_76_417/76-417a/0015898-000532870884"


def photo(height=HEIGHT, width=WIDTH):
    """A photo [H,W,3]: red 200, green by column, blue by row."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([np.full_like(rows, 200), columns * 10 % 250, rows * 30 % 250], -1).astype("u1")


def depth_mm():
    """Millimetres: 2500, unknown in the corner, 3000 in the last row."""
    depth = np.full((HEIGHT, WIDTH), 2500, np.uint16)
    depth[0, 0], depth[-1] = 0, 3000
    return depth


def encoded(array, form="PNG"):
    """The bytes of a picture."""
    buffer = io.BytesIO()
    options = {"quality": 95, "subsampling": 0} if form == "JPEG" else {}
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, form, **options)
    return buffer.getvalue()


def npy(array):
    """The bytes of an .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def put(folder, files):
    """Write name -> bytes or text below a folder."""
    for name, content in files.items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def pack_tar(folder, target, start="./"):
    """The folder as a plain tar with `./` before every name, as Marigold packs them."""
    with tarfile.open(target, "w") as tar:
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                tar.add(path, arcname=start + path.relative_to(folder).as_posix())
    return target


def pack_zip(folder, target):
    """The folder as a zip: pictures stored, the rest compressed."""
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                method = zipfile.ZIP_STORED if path.suffix == ".png" else zipfile.ZIP_DEFLATED
                archive.write(path, path.relative_to(folder).as_posix(), compress_type=method)
    return target


def write_nyu(folder):
    """The labeled .mat (3 images, axes reversed as MATLAB stores them) and splits.mat."""
    import h5py
    import scipy.io

    height, width = 480, 640
    images = np.zeros((3, 3, width, height), np.uint8)
    images[:, 0] = 200
    images[:, 1] = (np.arange(width) % 250)[None, :, None]
    images[:, 2] = (np.arange(height) % 250)[None, None, :]
    dense = np.full((3, width, height), 2.5, np.float32)
    raw = dense.copy()
    raw[:, 100, 50] = 0
    scenes = ["kitchen_0004", "office_0003", "kitchen_0004"]
    Path(folder).mkdir(parents=True, exist_ok=True)
    with h5py.File(Path(folder) / "nyu_depth_v2_labeled.mat", "w", userblock_size=512) as file:
        for name, array in (("images", images), ("depths", dense), ("rawDepths", raw)):
            file.create_dataset(name, data=array, compression="gzip")
        references = np.empty((1, 3), h5py.ref_dtype)
        for index, scene in enumerate(scenes):
            codes = np.array([[ord(c)] for c in scene], np.uint16)
            references[0, index] = file.create_dataset(f"#refs#/s{index}", data=codes).ref
        file.create_dataset("scenes", data=references, dtype=h5py.ref_dtype)
    scipy.io.savemat(
        Path(folder) / "splits.mat",
        {"trainNdxs": np.array([[2]]), "testNdxs": np.array([[1], [3]])},
    )
    return {
        "ids": ["nyu/kitchen_0004/0001", "nyu/kitchen_0004/0003"],
        "keys": ["1", "3"],
        "rgb_10_7": [200, 7, 10],
        "depth": 2.5,
        "hole": (50, 100),
        "camera": [519.4696, 326.0824, 254.2362],  # fy, cx, cy with centers at 0.5
    }


def write_nyu_bts(folder):
    """BTS: 24K folders, official_splits counted from 0, lists with a leading slash."""
    depth, rgb = encoded(depth_mm()), encoded(photo(), "JPEG")
    put(
        folder,
        {
            "sync/kitchen_0028b/rgb_00045.jpg": rgb,
            "sync/kitchen_0028b/sync_depth_00045.png": depth,
            "official_splits/test/bathroom/rgb_00045.jpg": rgb,
            "official_splits/test/bathroom/sync_depth_00045.png": depth,
            "train_list.txt": "/kitchen_0028b/rgb_00045.jpg "
            "/kitchen_0028b/sync_depth_00045.png 518.8579\n",
            "test_list.txt": "/bathroom/rgb_00045.jpg /bathroom/sync_depth_00045.png\r\n",
        },
    )
    return {"id": "nyu/bathroom/0046", "key": "46", "train_key": "kitchen_0028b/rgb_00045"}


def write_nyu_marigold(folder):
    """Marigold: raw and filled depth, counted from 1, a list without a last newline."""
    filled = np.maximum(depth_mm(), 2400)
    put(
        folder,
        {
            "test/kitchen_0004/rgb_0001.png": encoded(photo()),
            "test/kitchen_0004/depth_0001.png": encoded(depth_mm()),
            "test/kitchen_0004/filled_0001.png": encoded(filled),
            "filename_list_test.txt": "test/kitchen_0004/rgb_0001.png "
            "test/kitchen_0004/depth_0001.png test/kitchen_0004/filled_0001.png",
        },
    )
    return {"id": "nyu/kitchen_0004/0001", "depth_1_1": 2.5, "filled_0_0": 2.4}


def write_kitti(folder):
    """Two raw frames, ground truth of one below val/, its calibration, lists of two kinds."""
    depth = np.zeros((375, 1242), np.uint16)
    depth[300, 600] = depth[10, 600] = 2560
    raw, truth = f"2011_09_26/{DRIVE}/image_02/data", f"{DRIVE}/proj_depth/groundtruth/image_02"
    gray = encoded(np.full((375, 1242, 3), 7, np.uint8))
    put(
        folder,
        {
            f"{raw}/0000000069.png": gray,
            f"{raw}/0000000001.png": gray,
            f"val/{truth}/0000000069.png": encoded(depth),
            "2011_09_26/calib_cam_to_cam.txt": "calib_time: 09-Jan-2012 13:57:47\n"
            "S_rect_02: 1.242000e+03 3.750000e+02\n"
            "P_rect_02: 7.215377e+02 0 6.095593e+02 4.485728e+01 0 7.215377e+02 1.728540e+02 "
            "2.163791e-01 0 0 1 2.745884e-03\n",
            "eigen_test_files_with_gt.txt": f"{raw}/0000000069.png {truth}/0000000069.png "
            f"721.5377\n{raw}/0000000001.png None 721.5377\n",
            "monodepth2.txt": f"2011_09_26/{DRIVE} 69 l\n2011_09_26/{DRIVE} 1 l\n",
        },
    )
    return {
        "id": f"kitti/{DRIVE}/0000000069",
        "key": f"{DRIVE}/0000000069",
        "depth_300_600": 10.0,
        "camera": [[721.5377, 0, 610.0593], [0, 721.5377, 173.354], [0, 0, 1]],
    }


def write_kitti_selection(folder):
    """One frame of the official selection, with its camera."""
    base, stem = "depth_selection/val_selection_cropped", f"{DRIVE}_image_0000000005_image_02"
    depth = np.full((HEIGHT, WIDTH), 1280, np.uint16)
    depth[0] = 0
    put(
        folder,
        {
            f"{base}/image/{stem}.png": encoded(photo()),
            f"{base}/groundtruth_depth/{DRIVE}_groundtruth_depth_0000000005_image_02.png": encoded(
                depth
            ),
            f"{base}/intrinsics/{stem}.txt": "721.5 0.0 596.0 0.0 721.5 149.8 0.0 0.0 1.0\n",
        },
    )
    return {"id": f"kitti/{DRIVE}/0000000005", "depth": 5.0, "cx": 596.5}


def write_eth3d(folder):
    """The owner's tree: raw floats under a .JPG name, COLMAP camera and pose."""
    depth = np.full((HEIGHT, WIDTH), 4.25, "<f4")
    depth[0] = np.inf
    put(
        folder,
        {
            "office/images/dslr_images/DSC_0219.JPG": encoded(photo(), "JPEG"),
            "office/ground_truth_depth/dslr_images/DSC_0219.JPG": depth.tobytes(),
            "office/dslr_calibration_jpg/cameras.txt": "# cameras\n"
            "0 THIN_PRISM_FISHEYE 8 6 5 5.5 4 3 0 0 0 0 0 0 0 0\n",
            "office/dslr_calibration_jpg/images.txt": "# images\n"
            "1 1 0 0 0 0 0 -2 0 dslr_images/DSC_0219.JPG\n\n",
        },
    )
    return {
        "id": "eth3d/office/DSC_0219",
        "key": "office/DSC_0219.JPG",
        "depth": 4.25,
        "unknown_row": 0,
        "camera": [[5, 0, 4], [0, 5.5, 3], [0, 0, 1]],
        "center": [0, 0, 2],
    }


def write_eth3d_marigold(folder):
    """Marigold's tree of the same photo, without calibration."""
    depth = np.full((HEIGHT, WIDTH), 4.25, "<f4")
    depth[0] = np.inf
    rgb = "rgb/office/images/dslr_images/DSC_0219.JPG"
    truth = "depth/office_dslr_depth/office/ground_truth_depth/dslr_images/DSC_0219.JPG"
    put(
        folder,
        {rgb: encoded(photo(), "JPEG"), truth: depth.tobytes(), "list.txt": f"{rgb} {truth}\n"},
    )
    return {"id": "eth3d/office/DSC_0219", "depth": 4.25}


def write_diode(folder):
    """One indoor and one outdoor photo; a pixel of 400 m that the mask keeps."""
    depth = np.full((HEIGHT, WIDTH, 1), 5.5, np.float32)
    depth[2, 2] = 400
    mask = np.ones((HEIGHT, WIDTH), np.float32)
    mask[0] = 0
    files = {}
    for place, scene, scan in (("indoors", "00019", "00183"), ("outdoor", "00022", "00193")):
        stem = f"val/{place}/scene_{scene}/scan_{scan}/{scene}_{scan}_{place}_000_010"
        files[f"{stem}.png"] = encoded(photo())
        files[f"{stem}_depth.npy"] = npy(depth)
        files[f"{stem}_depth_mask.npy"] = npy(mask)
    put(folder, files)
    stem = "indoors/scene_00019/scan_00183/00019_00183_indoors_000_010"
    put(folder, {"list.txt": f"{stem}.png {stem}_depth.npy {stem}_depth_mask.npy\n"})
    return {
        "ids": [
            "diode/scene_00019/00019_00183_indoors_000_010",
            "diode/scene_00022/00022_00193_outdoor_000_010",
        ],
        "depth": 5.5,
        "far": 400.0,
        "unknown_row": 0,
    }


def write_scannet(folder):
    """Two exported frames (names of 25k and of the python exporter), one lost pose, one .sens."""
    depth, rgb = encoded(depth_mm()), encoded(photo(2 * HEIGHT, 2 * WIDTH), "JPEG")
    scene = "scene0000_00"
    put(
        folder,
        {
            f"{scene}/color/000100.jpg": rgb,
            f"{scene}/depth/000100.png": depth,
            f"{scene}/pose/000100.txt": "1 0 0 1\n0 1 0 2\n0 0 1 3\n0 0 0 1\n",
            f"{scene}/color/20.jpg": rgb,
            f"{scene}/depth/20.png": depth,
            f"{scene}/pose/20.txt": "\n".join(["-inf -inf -inf -inf"] * 4),
            f"{scene}/intrinsic/intrinsic_depth.txt": "5 0 4 0\n0 5 3 0\n0 0 1 0\n0 0 0 1\n",
            f"{scene}/intrinsic/intrinsic_color.txt": "10 0 8 0\n0 10 6 0\n0 0 1 0\n0 0 0 1\n",
            "scene0000_01/scene0000_01.sens": sens_bytes(),
            "list.txt": f"{scene}/color/000100.jpg {scene}/depth/000100.png\n",
        },
    )
    return {
        "ids": [
            "scannet/scene0000_00/000020",
            "scannet/scene0000_00/000100",
            "scannet/scene0000_01/000000",
            "scannet/scene0000_01/000001",
        ],
        "depth_1_1": 2.5,
        "hole": (0, 0),
        "camera": [[5, 0, 4.5], [0, 5, 3.5], [0, 0, 1]],
        "center_100": [1, 2, 3],
    }


def sens_bytes(frames=2):
    """A .sens file of version 4: JPEG photos, zlib depth, poses that move along x."""
    jpeg, packed = encoded(photo(), "JPEG"), zlib.compress(depth_mm().tobytes())
    camera = np.eye(4, dtype="<f4")
    camera[0, 0], camera[1, 1], camera[0, 2], camera[1, 2] = 5, 5, 4, 3
    one, name = np.eye(4, dtype="<f4").tobytes(), b"StructureSensor"
    parts = [struct.pack("<IQ", 4, len(name)), name, one, one, camera.tobytes(), one]
    parts.append(struct.pack("<iiIIIIfQ", 2, 1, WIDTH, HEIGHT, WIDTH, HEIGHT, 1000.0, frames))
    for number in range(frames):
        pose = np.eye(4, dtype="<f4")
        pose[0, 3] = number
        sizes = struct.pack("<QQQQ", 33 * number, 33 * number, len(jpeg), len(packed))
        parts += [pose.tobytes(), sizes, jpeg, packed]
    return b"".join(parts)


def write_sunrgbd(folder):
    """One frame: rotated bits, a row beyond 8 m, names that differ, the owner's absolute split."""
    import scipy.io

    values = np.full((HEIGHT, WIDTH), 2000, np.uint16)
    values[0], values[1, 1] = 9000, 0
    rotated = ((values << 3) | (values >> 13)).astype(np.uint16)
    raw = rotated.copy()
    raw[2, 2] = 0
    base = f"SUNRGBD/{SUN_FRAME}"
    put(
        folder,
        {
            f"{base}/image/0015898-000532870884.jpg": encoded(photo(), "JPEG"),
            f"{base}/depth_bfx/0015970-000532883796.png": encoded(rotated),
            f"{base}/depth/0015970-000532883796.png": encoded(raw),
            f"{base}/intrinsics.txt": "570.342205 0 310 0 570.342205 225 0 0 1\n",
            "list.txt": f"/n/fs/sun3d/data//SUNRGBD/{SUN_FRAME}/\n",
        },
    )
    cell = np.empty((1, 1), object)
    cell[0, 0] = f"/n/fs/sun3d/data/SUNRGBD/{SUN_FRAME}"
    split = Path(folder) / "SUNRGBDtoolbox/traintestSUNRGBD/allsplit.mat"
    split.parent.mkdir(parents=True)
    scipy.io.savemat(split, {"alltest": cell, "alltrain": np.empty((1, 0), object)})
    return {
        "id": f"sunrgbd/{SUN_FRAME}",
        "depth": 2.0,
        "far_row": 0,
        "hole": (1, 1),
        "raw_hole": (2, 2),
        "camera": [[570.342205, 0, 310.5], [0, 570.342205, 225.5], [0, 0, 1]],
    }


WRITERS = {
    "nyu": write_nyu,
    "nyu_bts": write_nyu_bts,
    "nyu_marigold": write_nyu_marigold,
    "kitti": write_kitti,
    "kitti_selection": write_kitti_selection,
    "eth3d": write_eth3d,
    "eth3d_marigold": write_eth3d_marigold,
    "diode": write_diode,
    "scannet": write_scannet,
    "sunrgbd": write_sunrgbd,
}


def equal_records(first, second):
    """Whether two records say the same, arrays included."""
    for name in type(first).__dataclass_fields__:
        a, b = getattr(first, name), getattr(second, name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
        else:
            assert a == b, name
    return True


def check_every_way(name, folder, **opened):
    """The dataset of a folder; asserts that tar, zip and a pickle of it say the same."""
    from nearfar.data.catalog import open_dataset

    data = open_dataset(name, folder, **opened)
    ids = list(data.sample_ids)
    assert ids and len(set(ids)) == len(ids)
    ways = [pickle.loads(pickle.dumps(data))]
    for pack, suffix in ((pack_tar, ".tar"), (pack_zip, ".zip")):
        target = Path(folder).with_suffix(suffix)
        packed = open_dataset(name, pack(folder, target), **opened)
        ways += [packed, pickle.loads(pickle.dumps(packed))]
    for other in ways:
        assert list(other.sample_ids) == ids
        for index in range(len(ids)):
            assert equal_records(data.record(index), other.record(index))
    return data
