"""ext4 images as files: what the superblock says, and whether the file system is sound."""
