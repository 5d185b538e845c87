import numpy as np
import torch

from nearfar.data.scenes import rooms
from nearfar.data.scenes.builder import stack_scenes
from nearfar.data.scenes.cameras import Camera, look
from nearfar.data.scenes.rooms import Opening, Room
from nearfar.data.scenes.sensor import neutral_sensor
from nearfar.data.scenes.shapes import FAR, components, trace

ROOM = Room(2.0, 3.0, 2.5)


def depths(builder, directions, position=(0.0, 1.2, 0.0)):
    camera = Camera(np.array(position), look(0, 0, 0), 0.7)
    built = builder.build(camera, sensor=neutral_sensor(), noise_seed=0)
    scene = stack_scenes([built], torch.device("cpu"))
    d = torch.tensor(directions, dtype=torch.float32).T[:, None]
    return trace(scene.primitives(), components(scene.position), tuple(d)).t_BP[0]


def test_walls_stand_where_the_room_says(builder):
    paint = builder.material("wall")
    for f, half in rooms.wall_frames(ROOM):
        rooms.wall(builder, f, half, ROOM.height, paint, None)
    hits = depths(builder, [[1, 0, 0], [-1, 0, 0], [0, 0, 1], [0, 0, -1]])
    torch.testing.assert_close(hits, torch.tensor([2.0, 2, 3, 3]), atol=1e-5, rtol=0)


def test_openings_let_the_view_through(builder):
    paint = builder.material("wall")
    f, half = rooms.wall_frames(ROOM)[1]  # at +z, its x axis is the world's -x
    rooms.wall(builder, f, half, ROOM.height, paint, Opening(-0.5, 0.5, 0.9, 1.6))
    through, beside, below = depths(builder, [[0, 0, 1], [0.3, 0, 1], [0, -0.2, 1]]).tolist()
    assert through == FAR
    assert abs(beside - 3) < 1e-4 and abs(below - 3) < 1e-4


def test_rooms_enclose_the_camera(builder):
    camera = rooms.furnished_room(builder)
    up_down = depths(builder, [[0, 1, 0.01], [0, -1, 0.01]], tuple(camera.position))
    assert (up_down < 10).all()
    assert sum(builder.free()) < 90


def test_sizes_are_those_of_rooms():
    sizes = [rooms.draw_room(np.random.default_rng(i)) for i in range(100)]
    heights = [room.height for room in sizes]
    assert min(heights) > 1.8 and max(heights) < 6.5
    assert min(room.half_x for room in sizes) >= 1.2
