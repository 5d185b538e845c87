"""Batches say the same of photos and of clips, field by field, and move as a whole."""

import torch

from nearfar.batch import ClipBatch, DepthBatch


def test_a_batch_moves_with_all_its_tensors():
    depth = torch.ones(2, 4, 6)
    batch = DepthBatch(torch.zeros(2, 3, 4, 6), depth, depth > 0, depth < 0, torch.full((2,), 60.0))
    moved = batch.to(torch.device("meta"))
    assert isinstance(moved, DepthBatch) and all(tensor.is_meta for tensor in moved)
    assert [tensor.shape for tensor in moved] == [tensor.shape for tensor in batch]


def test_clips_have_the_fields_of_photos_in_their_order():
    assert [name.replace("BT", "B") for name in ClipBatch._fields] == list(DepthBatch._fields)
