"""ext4 images as files: superblock, contents, and whether the file system is sound."""
