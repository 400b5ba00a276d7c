"""The networks of Wan2.2-Animate-14B: tensors in, tensors out; they know no files, no pictures, no sampling.

Module and parameter names are those of the released checkpoint.
"""
