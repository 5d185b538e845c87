"""Procedural scenes with exact depth, in pure torch.

options.py    mix of kinds, switches, textures; the identity of a rendered set
layouts.py    draws a scene of some kind: arrangement, light, camera
rooms.py      walls with doors and windows, furnished rooms
furniture.py  tables, chairs, shelves, beds, lamps, people, small things
fittings.py   parcels, drawers, metal chairs, curtains, radiators, leaves
goods.py      printed packages, bottles, mugs, bags, cables, in groups
placing.py    frames, and which places are taken
floors.py     close views near the floor
desks.py      crowded desks
outdoor.py    streets and fields: houses, cars, trees, poles, hills
tabletops.py  tables seen from above, with a room behind
builder.py    a scene as fixed-size arrays
textures.py   mip-mapped atlas of patterns, prints and photos
patterns.py   surfaces: wood, stone, cloth, carpet, leaves
prints.py     packages, cardboard, labels, screens, books
materials.py  colors and patterns of the surfaces of each use
cameras.py    viewpoints, fields of view, smooth paths
shapes.py     ray intersection, soft shadows, contact shadows
shading.py    radiance at the hits, sky, fog
sensor.py     exposure, blur, noise, tone curve, sharpening, compression
moving.py     things that move through a clip
renderer.py   seeds in, photos and depth out
shards.py     a cache of rendered scenes on disk
clips.py      clips along camera paths with moving things, and their cache
"""
