"""Cards of the evaluation datasets; a new reader adds its row here.

Counts and fingerprints are those of the official lists, so that a user's own copy can be verified.
A licence that says "not verified" is from general knowledge: nobody read its text for Nearfar.
"""

from __future__ import annotations

from nearfar.data.cards import DatasetCard

_HERE = "nearfar.data.benchmarks"

NYU = DatasetCard(
    name="nyu",
    title="NYU Depth V2",
    page="NYU Depth V2",
    licence="no explicit licence, research use",
    commercial=None,
    module=f"{_HERE}.nyu:open_nyu",
    place="indoor",
    splits=("test", "train"),
    size="labeled .mat 2.8 GB, raw about 428 GB",
    dense=True,
    range_m=(1e-3, 10.0),
    expected_counts={"test": 654, "train": 795, "bts-train": 24231},
    fingerprints={
        "test": "b6fd4f855307bbc0f2691eca4d36216a61139bf14592b93b4b208021858644f2",
        "train": "3ae7461b657a34fb1ab8c1c30ca0e1c525b8267eda63bf8f500814359f1d628f",
        "bts-train": "cc8aa211aea1523299b1b5132131da7672809c1c184210befb69a9daa4e5400d",
    },
    options={"gt": ("raw", "filled")},
    fixture=("nyu", "nyu_bts", "nyu_marigold"),
    notes="gt=raw has holes and is what papers evaluate; gt=filled is the in-painted map",
)

KITTI = DatasetCard(
    name="kitti",
    title="KITTI raw with improved ground truth, Eigen split",
    page="KITTI raw data; KITTI depth prediction (data_depth_annotated.zip)",
    licence="CC BY-NC-SA 3.0",
    commercial=False,
    module=f"{_HERE}.kitti:open_kitti",
    place="outdoor",
    splits=("eigen-test", "eigen-train", "val-drives", "selection"),
    size="raw about 175 GB, depth 14 GB",
    video=True,
    range_m=(1e-5, 80.0),
    expected_counts={"eigen-test": 652, "eigen-train": 23158, "selection": 1000, "val-800": 800},
    fingerprints={
        "eigen-test-697": "b7eea2134e95618f9f4a9620683507e5cc6b0d97a23496874ef8be1670e1a109",
        "eigen-test": "f8721a7c3a7b31425eb10159694d09b6e84b8205871b51ed5c5c120e963a57cd",
        "eigen-train": "dd16618990e8f82b77e0583c877efce793f20f21daaa00c38d4ed6eeea9409d7",
        "val-800": "c82e3862155dfe74ef6ee0eaec1abda680804886b4da3b3496daaa3bca6e3419",
    },
    fixture=("kitti", "kitti_selection"),
    notes="eigen splits need the list of the paper; lines without ground truth are left out",
)

ETH3D = DatasetCard(
    name="eth3d",
    title="ETH3D high-resolution multi-view, training part",
    page="eth3d.net",
    licence="CC BY-NC-SA 4.0 (not verified)",
    commercial=False,
    module=f"{_HERE}.eth3d:open_eth3d",
    place="both",
    splits=("train",),
    has_pose=True,
    expected_counts={"train": 454},
    fingerprints={"train": "37f446497136bf47034dc28be457937e868725aafdf9438be9042768358ba2f7"},
    fixture=("eth3d", "eth3d_marigold"),
    notes="distorted photos: the camera is good enough for a field of view only",
)

SCANNET = DatasetCard(
    name="scannet",
    title="ScanNet",
    page="ScanNet (Terms of Use to be signed)",
    licence="signed Terms of Use, non-commercial",
    commercial=False,
    module=f"{_HERE}.scannet:open_scannet",
    place="indoor",
    splits=("all",),
    size="about 1.2 TB .sens, scannet_frames_25k about 5.6 GB",
    video=True,
    has_pose=True,
    range_m=(1e-3, 10.0),
    expected_counts={"val-800": 800},
    fingerprints={"val-800": "d35a1752323c649c3861d1d78918fbd78aed5bda3614169813c5d9c33b57e76b"},
    fixture=("scannet",),
    notes="photos are resized (area) to the grid of the depth sensor",
)

DIODE = DatasetCard(
    name="diode",
    title="DIODE validation",
    page="diode-dataset.org",
    licence="MIT",
    commercial=True,
    module=f"{_HERE}.diode:open_diode",
    place="both",
    splits=("val", "val-indoor", "val-outdoor", "train"),
    size="val 2.6 GB, train 81 GB",
    range_m=(0.6, 350.0),
    expected_counts={"val": 771, "val-indoor": 325, "val-outdoor": 446},
    fingerprints={
        "val": "da8cbb1eab2c70520cc75fce3b87723424e4cb74a4813262e71e0ee19a7219e3",
        "val-indoor": "8536be012dea7df214d6d7b3351f45d867586c245bb75b6f8433fd4c52184f2c",
        "val-outdoor": "965cf36bf09dd02f8b1989271369936b3ab768ae578fffa413bf6fd101c4be8b",
    },
    fixture=("diode",),
)

SUNRGBD = DatasetCard(
    name="sunrgbd",
    title="SUN RGB-D",
    page="SUN RGB-D (SUNRGBD.zip and SUNRGBDtoolbox.zip)",
    licence="research use, no licence text",
    commercial=None,
    module=f"{_HERE}.sunrgbd:open_sunrgbd",
    place="indoor",
    splits=("test", "train", "all"),
    size="about 6.4 GB",
    range_m=(1e-3, 8.0),
    expected_counts={"test": 5050, "train": 5285},
    fingerprints={"test": "6fdef67f4eeb214f748a0e9772f41888b772c8eb88e67d0229da9a8bc113b072"},
    options={"clip": ("invalid", "toolbox"), "depth": ("refined", "raw")},
    fixture=("sunrgbd",),
    notes="holds NYU test photos (654 under kv1/NYUdata): not unseen for a model trained on NYU",
)

IBIMS = DatasetCard(
    name="ibims",
    title="iBims-1",
    page="ibims-1, LMF TUM / mediaTUM m1455541",
    licence="research use (not verified)",
    commercial=None,
    module=f"{_HERE}.ibims:open_ibims",
    place="indoor",
    splits=("test",),
    dense=True,
    range_m=(1e-2, 50.0),
    expected_counts={"test": 100},
    options={"layout": ("auto", "raw", "mat"), "planes": ("yes", "no")},
    fixture=("ibims", "ibims_mat"),
    notes="edges and planes for boundary and planarity metrics",
)

TUM = DatasetCard(
    name="tum",
    title="TUM RGB-D",
    page="TUM RGB-D SLAM dataset",
    licence="CC BY 4.0 (not verified)",
    commercial=True,
    module=f"{_HERE}.tum:open_tum",
    place="indoor",
    splits=("all", "lineage"),
    video=True,
    has_pose=True,
    range_m=(1e-2, 10.0),
    expected_counts={"lineage": 720},
    options={"sequences": (), "frames": (), "pairing": ("time", "index")},
    fixture=("tum",),
    notes="lineage: 8 freiburg3 sitting and walking sequences, every third pair, 90 of each",
)

BONN = DatasetCard(
    name="bonn",
    title="Bonn RGB-D Dynamic",
    page="Bonn RGB-D Dynamic Dataset, University of Bonn",
    licence="not stated (not verified)",
    commercial=None,
    module=f"{_HERE}.bonn:open_bonn",
    place="indoor",
    splits=("all", "video", "monst3r"),
    video=True,
    has_pose=True,
    range_m=(1e-3, 10.0),
    options={"sequences": (), "frames": (), "pairing": ("time", "index", "prepared")},
    fixture=("bonn",),
    notes="video papers pair by position: pairing=index; frames=30:140 are their 110",
)

MIDDLEBURY = DatasetCard(
    name="middlebury",
    title="Middlebury stereo 2014, 2021, MiddEval3",
    page="Middlebury stereo datasets; MiddEval3",
    licence="research use, no licence text",
    commercial=None,
    module=f"{_HERE}.middlebury:open_middlebury",
    place="indoor",
    splits=("all", "perfect", "imperfect", "trainingF", "trainingH", "trainingQ"),
    dense=True,
    range_m=(1e-3, 10.0),
    expected_counts={"trainingF": 15, "trainingH": 15, "trainingQ": 15},
    fixture=("middlebury",),
)

SINTEL = DatasetCard(
    name="sintel",
    title="MPI Sintel, training part",
    page="MPI Sintel (images, depth, camera data)",
    licence="film CC BY 3.0, depth research use (not verified)",
    commercial=None,
    module=f"{_HERE}.sintel:open_sintel",
    place="outdoor",
    splits=("training",),
    synthetic=True,
    video=True,
    has_sky=True,
    has_pose=True,
    dense=True,
    expected_counts={"training": 1064},
    options={"pass": ("final", "clean"), "scenes": (), "frames": ()},
    fixture=("sintel",),
    notes="23 scenes; DepthCrafter and Video-Depth-Anything use pass=clean, MonST3R final",
)

DA2K = DatasetCard(
    name="da2k",
    title="DA-2K",
    page="Hugging Face depth-anything/DA-2K",
    licence="not stated",
    commercial=None,
    module=f"{_HERE}.da2k:open_da2k",
    place="both",
    splits=("all",),
    metric=False,
    options={"scene_types": ()},
    fixture=("da2k",),
    notes="pairs of pixels, the closer one marked; no depth",
)

MOGE_EVAL = DatasetCard(
    name="moge_eval",
    title="MoGe evaluation bundle of ten sets",
    page="Hugging Face Ruicheng/monocular-geometry-evaluation",
    licence="those of the ten sets",
    commercial=None,
    module=f"{_HERE}.moge_eval:open_moge_eval",
    place="both",
    splits=("all",),
    has_sky=True,
    options={"set": (), "segments": ("no", "yes")},
    fixture=("moge_eval",),
    notes="set=NYUv2, KITTI, ETH3D, iBims-1, GSO, Sintel, DDAD, DIODE, Spring or HAMMER",
)

FOLDER = DatasetCard(
    name="folder",
    title="Own photos with depth",
    licence="that of the folder",
    commercial=None,
    module=f"{_HERE}.folder:open_folder",
    place="both",
    splits=("all",),
    options={
        "unit": (),
        "kind": ("", "metric", "scale", "affine", "disparity"),
        "center": ("auto", "half", "integer"),
    },
    fixture=("folder", "stems", "kit"),
    notes="index.csv, index.jsonl or index.json (a kit), or rgb/ beside depth/ by stem",
)

RENDERED = DatasetCard(
    name="rendered",
    title="Held-out rendered scenes",
    licence="Apache-2.0, drawn by Nearfar",
    commercial=True,
    module=f"{_HERE}.rendered:open_rendered",
    place="both",
    splits=("test",),
    synthetic=True,
    has_sky=True,
    has_pose=True,
    dense=True,
    range_m=(1e-3, 80.0),
    options={"count": (), "height": (), "width": (), "scenes": (), "cache": ()},
    needs_files=False,
)

RENDERED_CLIPS = DatasetCard(
    name="clips",
    title="Held-out rendered clips",
    licence="Apache-2.0, drawn by Nearfar",
    commercial=True,
    module=f"{_HERE}.rendered_clips:open_rendered_clips",
    place="both",
    splits=("test",),
    synthetic=True,
    has_sky=True,
    has_pose=True,
    dense=True,
    range_m=(1e-3, 80.0),
    options={
        "count": (),
        "frames": (),
        "height": (),
        "width": (),
        "scenes": (),
        "cache": (),
    },
    needs_files=False,
)

BENCHMARKS: tuple[DatasetCard, ...] = (
    NYU,
    KITTI,
    ETH3D,
    SCANNET,
    DIODE,
    SUNRGBD,
    IBIMS,
    TUM,
    BONN,
    MIDDLEBURY,
    SINTEL,
    DA2K,
    MOGE_EVAL,
    FOLDER,
    RENDERED,
    RENDERED_CLIPS,
)
