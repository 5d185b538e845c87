"""3-D files of metric results.

ply.py  binary point cloud
glb.py  textured mesh
"""
