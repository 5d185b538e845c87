import numpy as np
import pytest
import trimesh
from PIL import Image

from nearfar.errors import ConfigError, MetricError, OutputError
from nearfar.geometry.clouds import CloudOptions
from nearfar.io.writers import WRITERS, check_formats, existing_outputs, save_result
from nearfar.result import DepthKind, DepthResult

ALL = ["png16", "npz", "exr", "pfm", "uncertainty", "vis", "side", "ply", "glb"]


def smooth_metric(result_of):
    result = result_of()
    v, u = np.mgrid[0:23, 0:31]
    fields = {name: result[name] for name in ("image", "intrinsics", "sky")}
    depth = (3 + 0.01 * u + 0.01 * v).astype(np.float32)
    depth[:, 20:] += 2
    return DepthResult(
        depth=depth, kind="metric", valid=~result.sky, uncertainty=depth / 10, **fields
    )


def test_all_formats_under_their_names(result_of, tmp_path):
    assert [name for name in WRITERS if name != "exr-rgb"] == ALL
    files = save_result(smooth_metric(result_of), tmp_path / "o", ALL, stem="my photo.v2")
    assert [f.name.removeprefix("my photo.v2") for f in files] == [
        *("_depth.png", "_depth.npz", "_depth.exr", "_depth.pfm", "_uncertainty.png"),
        *("_vis.png", "_side.png", ".ply", ".glb"),
    ]
    assert sorted(files) == sorted((tmp_path / "o").iterdir())
    assert Image.open(files[5]).size == (31, 23) and Image.open(files[6]).size[0] > 62
    assert len(trimesh.load(files[8]).geometry) == 1


@pytest.mark.parametrize("kind", ["scale_invariant", "affine_depth", "affine_log_depth"])
def test_relative_maps_never_look_metric(result_of, tmp_path, kind):
    names = [f.name for f in save_result(result_of(kind), tmp_path, ["png16", "pfm"], stem="a")]
    ending = {"scale_invariant": "scale_invariant_depth"}.get(kind, kind)
    assert names == [f"a_{ending}.png", f"a_{ending}.pfm"]


def test_cloud_leaves_out_sky_and_edges(result_of, tmp_path):
    result = smooth_metric(result_of)

    def points(**options):
        (path,) = save_result(result, tmp_path, ["ply"], cloud=CloudOptions(**options))
        return trimesh.load(path).vertices

    everything = points(edge_filter=False, outlier_filter=False)
    assert len(everything) == (result.valid & ~result.sky).sum()
    filtered = points(outlier_filter=False)
    assert len(filtered) == len(everything) - 2 * (~result.sky)[:, 0].sum()


def test_mesh_is_cut_at_edges_by_the_same_option(result_of, tmp_path):
    def triangles(**options):
        result = smooth_metric(result_of)
        (path,) = save_result(result, tmp_path, ["glb"], cloud=CloudOptions(**options))
        return len(next(iter(trimesh.load(path).geometry.values())).faces)

    assert triangles(edge_filter=False) - triangles() == 2 * (23 - 5 - 1)


@pytest.mark.parametrize("name", ["ply", "glb"])
def test_scenes_of_relative_maps_are_refused_before_anything_is_written(result_of, tmp_path, name):
    with pytest.raises(MetricError, match="metres"):
        save_result(result_of("affine_log_depth"), tmp_path / "o", ["png16", name])
    with pytest.raises(MetricError, match="camera"):
        save_result(result_of(full=False), tmp_path / "o", ["png16", name])
    assert not (tmp_path / "o").exists()


def test_formats_are_checked():
    assert check_formats(["vis", "npz", "vis"]) == ["vis", "npz"]
    assert check_formats(["exr", "exr-rgb"]) == ["exr-rgb"]
    with pytest.raises(ConfigError, match=r"'png'.*Did you mean png16"):
        check_formats(["vis", "png"])
    with pytest.raises(ConfigError, match="Formats: png16, npz"):
        check_formats(["xyz"])


def test_existing_outputs_of_any_kind(result_of, tmp_path):
    assert existing_outputs(tmp_path / "none", ALL, stem="a") == []
    save_result(result_of("affine_log_depth"), tmp_path, ["png16", "vis"], stem="a")
    assert [p.name for p in existing_outputs(tmp_path, ALL, stem="a")] == [
        "a_affine_log_depth.png",
        "a_vis.png",
    ]
    assert existing_outputs(tmp_path, ["npz"], stem="a") == []
    assert existing_outputs(tmp_path, ALL, stem="b") == []


@pytest.mark.parametrize("kind", list(DepthKind))
def test_saving_again_replaces(result_of, tmp_path, kind):
    first = save_result(result_of(kind), tmp_path, ["npz"], stem="a")
    assert save_result(result_of(kind, seed=1), tmp_path, ["npz"], stem="a") == first
    assert len(list(tmp_path.iterdir())) == 1


def test_impossible_folder(result_of, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        save_result(result_of(), tmp_path / "file", ["npz"])
