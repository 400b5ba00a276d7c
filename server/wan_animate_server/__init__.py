"""The part of Wan Animate for Blender that runs beside the GPU: from a shot folder to a take folder."""
