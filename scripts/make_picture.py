"""The README's picture: photo, depth, and the point cloud seen from the side.

    python scripts/make_picture.py [-m ppd-tiny] [-o docs/images/motorcycle.png]

The photo ships inside scikit-image. Nothing is retouched: one prediction with the defaults.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.data import stereo_motorcycle

from nearfar.geometry.clouds import point_cloud
from nearfar.io.images import write_picture
from nearfar.pipeline.load import load
from nearfar.result import DepthResult
from nearfar.viz.panel import side_by_side

FOV_X_DEG = 40.8  # of that camera
TURN_DEG, RAISE_DEG = 28.0, 12.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-m", "--model", default="ppd-tiny")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images/motorcycle.png"))
    options = parser.parse_args()
    photo = stereo_motorcycle()[0]
    result = load(options.model).predict(photo, fov_x_deg=FOV_X_DEG)
    panel = side_by_side(photo, result.visualise(), turned_cloud(result))
    write_picture(halved(panel), options.output)
    print(options.output)


def turned_cloud(result: DepthResult) -> NDArray[np.uint8]:
    """The colored points [H,W,3] after turning the camera around the middle of the scene."""
    cloud = point_cloud(
        result.depth, result.require_camera(), usable_HW=result.valid, image_HW3=result.image
    )
    height, width = result.size_hw
    middle = np.median(cloud.points_P3, axis=0)
    away = np.array([0, 0, 1.5 * middle[2]])
    turned_P3 = (cloud.points_P3 - middle) @ rotation(TURN_DEG, RAISE_DEG).T + away
    order = np.argsort(-turned_P3[:, 2])  # painter: far first
    x, y, z = turned_P3[order].T
    across, down = (np.percentile(v / z, [1, 99]) for v in (x, y))
    zoom = 0.95 * min(width / np.ptp(across), height / np.ptp(down))
    column = ((x / z - across.mean()) * zoom + width / 2).astype(int)
    row = ((y / z - down.mean()) * zoom + height / 2).astype(int)
    canvas = np.full((height, width, 3), 255, np.uint8)
    for shift_row, shift_column in np.ndindex(3, 3):  # points of three pixels, halved later
        r, c = row + shift_row, column + shift_column
        inside = (r >= 0) & (r < height) & (c >= 0) & (c < width) & (z > 0)
        canvas[r[inside], c[inside]] = cloud.colors_P3[order][inside]
    return canvas


def halved(picture_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Half the size, every pixel the mean of four."""
    height, width = (side // 2 for side in picture_HW3.shape[:2])
    fours = picture_HW3[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3)
    return fours.mean(axis=(1, 3)).round().astype(np.uint8)


def rotation(turn_deg: float, raise_deg: float) -> NDArray[np.float64]:
    """About the vertical axis, then about the horizontal one; OpenCV axes."""
    turn, up = np.radians([turn_deg, raise_deg])
    about_y = np.array(
        [[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]]
    )
    about_x = np.array([[1, 0, 0], [0, np.cos(up), -np.sin(up)], [0, np.sin(up), np.cos(up)]])
    return about_x @ about_y


if __name__ == "__main__":
    main()
