"""The smallest tree of every training dataset: 6 rows, 8 columns, with known values.

Each function writes below `folder` and returns what a reader must find there.
"""

import io
import json
import tarfile
from pathlib import Path

import h5py
import numpy as np
import OpenEXR
from PIL import Image

H, W = 6, 8
STRAIGHT = [[0.5773502886169104, 0, 0], [0, 0.4330127164626828, 0], [0, 0, -1.0]]
TILTED = [
    [0.5925544768427853, 0, 0],
    [0, 0.4331077786745176, 0],
    [0, 0.09961479090220553, -1.0263344260263545],
]


def photo(number: int = 0) -> np.ndarray:
    """Red is 200 everywhere, so that swapped channels show; the rest tells place and number."""
    rgb = np.full((H, W, 3), 200, np.uint8)
    rgb[..., 1] = 10 * np.arange(W)
    rgb[..., 2] = (20 * np.arange(H)[:, None] + number) % 250
    return rgb


def make(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def put_picture(path: Path, array: np.ndarray) -> None:
    Image.fromarray(np.ascontiguousarray(array)).save(make(path))


def put_text(path: Path, text: str) -> None:
    make(path).write_text(text)


def put_array(path: Path, array: np.ndarray) -> None:
    np.save(make(path), array)


def put_hdf5(path: Path, array: np.ndarray) -> None:
    with h5py.File(make(path), "w") as file:
        file["dataset"] = array


def put_exr(path: Path, channel: str, array: np.ndarray) -> None:
    header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION}
    OpenEXR.File(header, {channel: array.astype(np.float32)}).write(str(make(path)))


def pack(folder: Path, tar: Path, *, start: str = "", only: str = "") -> None:
    """A tar of the files below a folder whose name holds `only`; `start` before every name."""
    with tarfile.open(make(tar), "w") as archive:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_file() and only in name:
                archive.add(path, arcname=start + name)


def first_row(rest: float, first: float, dtype: type = np.float32) -> np.ndarray:
    depth = np.full((H, W), rest, dtype)
    depth[0] = first
    return depth


def write_hypersim(folder: Path) -> dict:
    """Two raw scenes, one with a tilted camera; 2 m all around, NaN and entity -1 in a corner."""
    scenes = {"ai_001_001": (STRAIGHT, 0), "ai_007_005": (TILTED, 3)}
    columns = ["scene_name", "settings_output_img_height", "settings_units_info_meters_scale"]
    columns += [f"M_cam_from_uv_{i}{j}" for i in range(3) for j in range(3)]
    lines = [",".join(columns)]
    for scene, (matrix, frame) in scenes.items():
        numbers = [repr(float(v)) for row in matrix for v in row]
        lines.append(",".join([scene, "768.0", "0.0254", *numbers]))
        images, detail = folder / scene / "images", folder / scene / "_detail"
        distance = np.full((H, W), 2.0, np.float16)
        distance[0, 0] = np.nan
        entity = np.full((H, W), 5, np.int32)
        entity[0, 1] = -1
        color = np.full((H, W, 3), 0.5, np.float16)
        color[5, 7] = 4.0
        color[4, 4] = np.nan
        geometry = images / "scene_cam_00_geometry_hdf5"
        put_hdf5(geometry / f"frame.{frame:04d}.depth_meters.hdf5", distance)
        put_hdf5(geometry / f"frame.{frame:04d}.render_entity_id.hdf5", entity)
        put_hdf5(images / "scene_cam_00_final_hdf5" / f"frame.{frame:04d}.color.hdf5", color)
        preview = images / "scene_cam_00_final_preview"
        put_picture(preview / f"frame.{frame:04d}.tonemap.jpg", photo(0) * 0 + 90)
        put_picture(preview / f"frame.{frame:04d}.color.jpg", photo(0) * 0 + 30)
        put_text(detail / "metadata_scene.csv",
                 "parameter_name,parameter_value\nmeters_per_asset_unit,0.0254\n")  # fmt: skip
        keyframes = detail / "cam_00"
        put_hdf5(keyframes / "camera_keyframe_positions.hdf5", np.array([[100.0, 0, 0]] * 4))
        put_hdf5(keyframes / "camera_keyframe_orientations.hdf5", np.stack([np.eye(3)] * 4))
        put_hdf5(keyframes / "camera_keyframe_frame_indices.hdf5", np.arange(4))
    put_text(folder / "metadata_camera_parameters.csv", "\n".join(lines) + "\n")
    put_text(
        folder / "metadata_images_split_scene_v1.csv",
        "scene_name,camera_name,frame_id,included_in_public_release,exclude_reason,"
        "split_partition_name\nai_001_001,cam_00,0,True,,train\n"
        "ai_001_001,cam_00,1,False,CONTENT FLAGGED FOR REMOVAL,\nai_007_005,cam_00,3,True,,val\n",
    )
    return {"train": ["ai_001_001/cam_00/0000"], "val": ["ai_007_005/cam_00/0003"]}


def write_hypersim_marigold(folder: Path) -> dict:
    """The processed form: a folder per split, the list, and in `packed` the tar."""
    depth = np.full((H, W), 1500, np.uint16)
    depth[0, 0] = 0
    scene = folder / "train" / "ai_001_001"
    put_picture(scene / "rgb_cam_00_fr0000.png", photo())
    put_picture(scene / "depth_plane_cam_00_fr0000.png", depth)
    pack(folder / "train", folder / "packed" / "hypersim_processed_train.tar", start="./")
    put_text(
        folder / "filename_list_train_filtered.txt",
        "ai_001_001/rgb_cam_00_fr0000.png ai_001_001/depth_plane_cam_00_fr0000.png",
    )
    return {"keys": ["ai_001_001/cam_00/0000"], "depth": 1.5, "invalid": [(0, 0)]}


def write_vkitti2(folder: Path) -> dict:
    """A street and its sunset, two cameras of two frames: 12.34 m, a row of sky, one 90 m pixel."""
    depth = first_row(1234, 65535, np.uint16)
    depth[1, 0] = 9000
    for scene, variant in (("Scene01", "clone"), ("Scene02", "fog")):
        place = folder / scene / variant
        for camera in (0, 1):
            for i in (0, 1):
                frames = place / "frames"
                put_picture(frames / "rgb" / f"Camera_{camera}" / f"rgb_{i:05d}.jpg", photo(i))
                put_picture(frames / "depth" / f"Camera_{camera}" / f"depth_{i:05d}.png", depth)
        pairs = [(i, camera) for i in (0, 1) for camera in (0, 1)]
        put_text(
            place / "intrinsic.txt",
            "frame cameraID K[0,0] K[1,1] K[0,2] K[1,2]\n"
            + "".join(f"{i} {camera} 725.0087 725.0087 620.5 187\n" for i, camera in pairs),
        )
        put_text(
            place / "extrinsic.txt",
            "frame cameraID r1,1 r1,2 r1,3 t1 r2,1 r2,2 r2,3 t2 r3,1 r3,2 r3,3 t3 0 0 0 1\n"
            + "".join(
                f"{i} {c} 1 0 0 {-0.532725 * c} 0 1 0 0 0 0 1 {-i} 0 0 0 1\n" for i, c in pairs
            ),
        )
    return {"depth": 12.34, "far": 90.0, "center": (0.532725, 0, 1), "cx_cy": (621, 187.5)}


def write_vkitti2_tar(folder: Path) -> dict:
    """The same in the tars as downloaded."""
    unpacked = folder / "unpacked"
    expected = write_vkitti2(unpacked)
    for part in ("rgb", "depth"):
        pack(unpacked, folder / "tars" / f"vkitti_2.0.3_{part}.tar", only=f"/frames/{part}/")
    with tarfile.open(folder / "tars" / "vkitti_2.0.3_textgt.tar.gz", "w:gz") as archive:
        for path in sorted(unpacked.rglob("*.txt")):
            archive.add(path, arcname=path.relative_to(unpacked).as_posix())
    return expected


def write_urbansyn(folder: Path) -> dict:
    """15 m below a row of sky, by class."""
    labels = np.zeros((H, W, 3), np.uint8)
    labels[0, :, 0] = 10
    put_picture(folder / "rgb" / "rgb_0001.png", photo())
    put_exr(folder / "depth" / "depth_0001.exr", "Y", first_row(15e-5, 0.9))
    put_picture(folder / "ss" / "ss_0001.png", labels)
    lens = {"focalLength_mm": 20.0, "sensorWidth_mm": 40.0, "sensorHeight_mm": 30.0}
    put_text(folder / "camera_metadata.json", json.dumps({"parameters": [{"Camera": lens}]}))
    return {"depth": 15.0, "camera": (4, 4, 4, 3)}


def write_unrealstereo4k(folder: Path) -> dict:
    """Two scenes; 2 m, two invalid pixels and one beyond 200 m; the photo has an alpha channel."""
    disparity = np.full((H, W), 10, np.float32)
    disparity[0, 0], disparity[0, 1], disparity[1, 0] = 0, np.nan, 0.05
    for scene in ("00000", "00008"):
        for side in (0, 1):
            alpha = np.full((H, W, 1), 40, np.uint8)
            put_picture(
                folder / scene / f"Image{side}" / "00000.png", np.dstack([photo(side), alpha])
            )
            put_array(folder / scene / f"Disp{side}" / "00000.npy", disparity)
            put_text(
                folder / scene / f"Extrinsics{side}" / "00000.txt",
                f"100 0 4 0 100 3 0 0 1\n1 0 0 {-0.2 * side} 0 1 0 0 0 0 1 5\n",
            )
    return {"depth": 2.0, "invalid": [(0, 0), (0, 1)], "sky": [(1, 0)], "center": (0, 0, -5)}


def write_tartanair(folder: Path) -> dict:
    """v1, nested as some zips are: 3.5 m below a row of sky and one pixel at 400 m; two poses."""
    depth = first_row(3.5, 10000)
    depth[1, 1] = 400
    flight = folder / "abandonedfactory" / "abandonedfactory" / "Easy" / "P000"
    for i in (0, 1):
        put_picture(flight / "image_left" / f"{i:06d}_left.png", photo(i))
        put_array(flight / "depth_left" / f"{i:06d}_left_depth.npy", depth)
    put_text(flight / "pose_left.txt", "0 0 0 0 0 0 1\n1 2 3 0 0 0.7071067811865476 "
             "0.7071067811865476\n")  # fmt: skip
    return {"depth": 3.5, "far": 400, "center": (2, 3, 1)}


def write_tartanair2(folder: Path) -> dict:
    """v2: the depth's bytes as blue, green, red, alpha."""
    depth = first_row(3.5, 10000)
    flight = folder / "ArchVizTinyHouseDay" / "Data_hard" / "P001"
    put_picture(flight / "image_lcam_front" / "000000_lcam_front.png", photo())
    colors = depth.view(np.uint8).reshape(H, W, 4)[..., [2, 1, 0, 3]]
    put_picture(flight / "depth_lcam_front" / "000000_lcam_front_depth.png", colors)
    put_text(flight / "pose_lcam_front.txt", "0 0 0 0 0 0 1\n")
    return {"depth": 3.5}


def write_irs(folder: Path) -> dict:
    """16 frames in two rooms of two categories, one room in other light: 3 m, one invalid pixel."""
    disparity = np.full((H, W), 16, np.float32)
    disparity[0, 0], disparity[0, 1] = 0, 0.1
    numbers = {"Home/RoomA": range(1, 9), "Home/RoomA_Dark": (2, 10), "Store/ShopB": range(5)}
    for scene, those in numbers.items():
        for k in those:
            put_picture(folder / scene / f"l_{k}.png", photo(k))
            put_exr(folder / scene / f"d_{k}.exr", "G", disparity)
    test = ["Home/RoomA/1", "Home/RoomA/8", "Store/ShopB/0"]
    return {"depth": 3.0, "invalid": [(0, 0), (0, 1)], "test": test, "count": 15}


def write_pointodyssey(folder: Path) -> dict:
    """One video of two frames: a row of sky, one unknown pixel, two cameras."""
    depth = first_row(655, 65535, np.uint16)
    depth[1, 0] = 0
    video = folder / "train" / "dancing"
    for k in (0, 1):
        put_picture(video / "rgbs" / f"rgb_{k:05d}.jpg", photo(k))
        put_picture(video / "depths" / f"depth_{k:05d}.png", depth)
    second = np.eye(4)
    second[2, 3] = 2
    camera = np.array([[10.0, 0, 4], [0, 10, 3], [0, 0, 1]])
    np.savez(
        video / "anno.npz",
        intrinsics=np.stack([camera] * 2),
        extrinsics=np.stack([np.eye(4), second]),
        trajs_2d=np.zeros((2, 1, 2)),
    )
    return {"depth": 655 / 65535 * 1000, "invalid": [(1, 0)], "center": (0, 0, -2)}


def write_webdataset(folder: Path) -> dict:
    """Two shards whose keys repeat: millimetres as PNG with a mask, metres as NPY with sky."""
    millimetres = np.full((H, W), 2500, np.uint16)
    millimetres[0, 0] = 0
    mask = np.full((H, W), 255, np.uint8)
    mask[1] = 0
    sky = np.zeros((H, W), np.uint8)
    sky[0] = 1
    pose = [1, 0, 0, 1, 0, 1, 0, 2, 0, 0, 1, 3, 0, 0, 0, 1]
    first = {"depth_scale": 1000, "K": [10, 10, 4, 3], "pose": pose, "scene": "s", "licence": "x"}
    add_shard(
        folder / "train-000000.tar",
        {
            "000000": {"rgb.png": photo(), "depth.png": millimetres, "mask.png": mask,
                       "json": first},
            "000001": {"rgb.png": photo(1), "depth.png": millimetres,
                       "json": {"depth_scale": 500, "K": [[10, 0, 4], [0, 11, 3], [0, 0, 1]]}},
        },
    )  # fmt: skip
    second = {"rgb.png": photo(2), "depth.npy": np.full((H, W), 7.5, np.float32), "sky.png": sky}
    add_shard(folder / "train-000001.tar", {"000000": second})
    keys = ["train-000000/000000", "train-000000/000001", "train-000001/000000"]
    return {"keys": keys, "depth": [2.5, 5.0, 7.5]}


def add_shard(path: Path, samples: dict[str, dict]) -> None:
    with tarfile.open(make(path), "w") as archive:
        for key, parts in samples.items():
            for ending, value in parts.items():
                content = io.BytesIO()
                if ending == "json":
                    content.write(json.dumps(value).encode())
                elif ending.endswith("npy"):
                    np.save(content, value)
                else:
                    Image.fromarray(value).save(content, "PNG")
                info = tarfile.TarInfo(f"{key}.{ending}")
                info.size = content.tell()
                content.seek(0)
                archive.addfile(info, content)
