"""`penchant evaluate leave-one-out`: each user's last item asked for, as papers on sequence models do.

It must not know how options are read.
"""
