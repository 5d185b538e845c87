"""The part of the Rerun SDK that recordings use, with its signatures; events go to the file as
pickles, as they come, so that a test can read what was logged."""

import pickle
import sys
from types import ModuleType
from typing import NamedTuple


class Event(NamedTuple):
    entity: str
    kind: str
    fields: dict
    times: dict


class Archetype(NamedTuple):
    kind: str
    fields: dict


class RecordingStream:
    def __init__(self, application_id, *, recording_id=None):
        self._times = {}
        self.name = (application_id, recording_id)

    def save(self, path, default_blueprint=None):
        self._file = open(path, "wb")  # noqa: SIM115
        self._write(Event("", "blueprint", {"views": default_blueprint}, {}))

    def set_time(self, timeline, *, sequence=None, duration=None):
        self._times[timeline] = sequence if duration is None else duration

    def log(self, entity_path, entity, *, static=False):
        times = {} if static else dict(self._times)
        self._write(Event(entity_path, entity.kind, entity.fields, times))

    def flush(self):
        self._file.flush()

    def disconnect(self):
        self._file.close()

    def _write(self, event):
        pickle.dump(tuple(event), self._file)


def pinhole(*, image_from_camera, resolution, camera_xyz):
    return Archetype("Pinhole", {"matrix": image_from_camera, "resolution": resolution})


def depth_image(image, *, meter=None, depth_range=None):
    return Archetype("DepthImage", {"image": image, "meter": meter, "range": depth_range})


def points(positions, *, colors=None):
    return Archetype("Points3D", {"positions": positions, "colors": colors})


def encoded_image(*, contents, media_type):
    return Archetype("EncodedImage", {"contents": contents, "media_type": media_type})


def modules():
    """`rerun` and `rerun.blueprint`, for sys.modules."""
    rerun, blueprint = ModuleType("rerun"), ModuleType("rerun.blueprint")
    rerun.RecordingStream = RecordingStream
    rerun.Pinhole, rerun.DepthImage = pinhole, depth_image
    rerun.Points3D, rerun.EncodedImage = points, encoded_image
    rerun.ViewCoordinates = type("ViewCoordinates", (), {"RDF": Archetype("ViewCoordinates", {})})
    rerun.blueprint = blueprint
    blueprint.Spatial3DView = lambda *, origin, contents, name: (name, origin, contents)
    blueprint.Spatial2DView = lambda *, origin, contents=None, name: (name, origin, contents)
    blueprint.Horizontal = blueprint.Vertical = blueprint.Blueprint = lambda *views: views
    return {"rerun": rerun, "rerun.blueprint": blueprint}


def install(monkeypatch):
    for name, module in modules().items():
        monkeypatch.setitem(sys.modules, name, module)


def read_events(path):
    events = []
    with open(path, "rb") as file:
        while True:
            try:
                events.append(Event(*pickle.load(file)))
            except EOFError:
                return events
