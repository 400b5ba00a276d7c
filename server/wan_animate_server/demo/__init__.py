"""The demo: a real Blender, a real server, one shot from the scene to its strips; knows the other rooms only by their doors."""
