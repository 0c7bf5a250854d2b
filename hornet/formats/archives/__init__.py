"""Images without a file system: a tar, the layers of an OCI image, a directory. Nothing is unpacked."""
