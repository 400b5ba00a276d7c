"""The demo: a real Blender, a real server, and one shot all the way. Knows the other rooms by their doors only."""
